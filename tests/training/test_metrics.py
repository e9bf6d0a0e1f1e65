"""What is counted: right positions, of targets of any shape, and measures of one's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn
from tinygrad_mnist.errors import NonFiniteError, OptionError, ShapeError
from tinygrad_mnist.nn import functional as F  # noqa: N812
from tinygrad_mnist.training import accuracy, evaluate, fit, predict
from tinygrad_mnist.training.metrics import Tally, class_axis


def share_of_right(targets, outputs, axis):
    """Count position by position, as one would by hand."""
    outputs = np.moveaxis(outputs, axis, -1)
    right = [
        max(range(outputs.shape[-1]), key=outputs[place].tolist().__getitem__) == targets[place]
        for place in np.ndindex(targets.shape)
    ]
    return sum(right) / len(right)


class Given(nn.Module):
    """Returns the logits of its examples, whose numbers it is given."""

    def __init__(self, outputs):
        self.outputs = nn.Parameter(np.asarray(outputs, np.float32))

    def forward(self, x):
        return self.outputs[x[:, 0]]


def given(outputs, targets, **options):
    data = np.arange(len(targets))[:, np.newaxis], targets
    return evaluate(Given(outputs), data, **options)


def mean(outputs, targets):
    return np.mean(outputs)


SHAPES = [(shape, axis) for shape in ((7, 4), (6, 4, 3), (5, 2, 3, 4)) for axis in range(1, len(shape))]


class TestAccuracy:
    @pytest.mark.parametrize(("shape", "axis"), SHAPES)
    @pytest.mark.parametrize("batch_size", [2, 100])
    def test_is_right_positions_by_positions(self, shape, axis, batch_size):
        rng = np.random.default_rng(axis)
        outputs = rng.normal(size=shape).astype(np.float32)
        targets = rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
        expected = share_of_right(targets, outputs, axis)
        measured = given(outputs, targets, loss=mean, batch_size=batch_size)
        assert measured["accuracy"] == pytest.approx(expected)
        assert measured["count"] == len(targets)
        assert accuracy(targets, outputs, axis=axis) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("loss", "axis"),
        [(None, 1), ("cross-entropy", 1), (nn.CrossEntropyLoss, 1), (nn.CrossEntropyLoss(), 1), (F.cross_entropy, 1),
         ("mse", -1), ("bce", -1)],
    )  # fmt: skip
    def test_takes_the_axis_of_the_loss_where_two_fit(self, loss, axis):
        rng = np.random.default_rng(0)
        outputs, targets = rng.normal(size=(6, 3, 3)).astype(np.float32), rng.integers(0, 3, (6, 3))
        one, other = (share_of_right(targets, outputs, axis) for axis in (1, 2))
        assert one != other
        assert given(outputs, targets, loss=loss)["accuracy"] == pytest.approx(one if axis == 1 else other)

    def test_is_left_out_where_a_loss_of_ones_own_may_use_either_axis(self):
        rng = np.random.default_rng(0)
        outputs, targets = rng.normal(size=(6, 3, 3)), rng.integers(0, 3, (6, 3))
        assert given(outputs, targets, loss=mean).keys() == {"loss", "count"}

    @pytest.mark.parametrize(
        ("outputs", "targets"),
        [
            (np.ones((4, 1)), np.array([0, 1, 0, 1])),  # a logit for two classes, or a regression
            (np.ones((4, 3)), np.array([20, 31, 45, 60])),  # quantiles of ages
            (np.ones((4, 3)), np.array([0, 1, 2, -1])),
            (np.ones((4, 3)), np.ones((4, 3))),
            (np.ones((4, 3)), np.array([0.0, 1.0, 2.0, 0.0])),
        ],
    )
    def test_is_left_out_where_targets_are_no_classes(self, outputs, targets):
        assert "accuracy" not in given(outputs, targets, loss=mean)

    def test_of_sequences_is_the_same_in_fit_eager_and_compiled(self):
        rng = np.random.default_rng(0)
        x = rng.integers(0, 5, (64, 8))

        class Copy(nn.Module):
            def __init__(self):
                self.w = nn.Parameter(np.eye(5, dtype=np.float32) * 5)

            def forward(self, x):
                return self.w[x]

        def loss(outputs, targets):
            return F.cross_entropy(outputs.reshape(-1, 5), targets.reshape(-1))

        for compile in (False, True):
            row = fit(
                Copy(), (x, x), loss=loss, epochs=1, rng=0, validation=(x, x), progress=False, compile=compile
            )[0]
            assert row["train_accuracy"] == row["validation_accuracy"] == 1

    def test_function_says_what_does_not_fit(self):
        with pytest.raises(ShapeError, match=r"with the classes on axis -1; .* or axis=1 and shapes"):
            accuracy(np.zeros((4, 8), int), np.zeros((4, 5, 8)))
        assert accuracy(np.zeros((4, 8), int), np.zeros((4, 5, 8)), axis=1) == 1

    def test_axis_is_known_of_losses_that_have_one(self):
        class Flattened(nn.CrossEntropyLoss):
            def forward(self, input, target):
                return super().forward(input.reshape(-1, 5), target.reshape(-1))

        assert class_axis(Flattened()) is None
        assert class_axis(nn.NLLLoss) == class_axis(F.nll_loss) == 1

    def test_tally_is_numbers_that_can_be_saved(self):
        rng = np.random.default_rng(0)
        batches = [(0.5, rng.normal(size=(3, 4)), rng.integers(0, 4, 3)) for _ in range(4)]
        whole, first, second = Tally(1), Tally(1), Tally(1)
        for number, batch in enumerate(batches):
            whole.add(*batch)
            (first if number < 2 else second).add(*batch)
            if number == 1:
                assert all(isinstance(value, (int, float, bool)) for value in vars(first).values())
                vars(second).update(vars(first))
        assert second.means() == whole.means()


X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 64)


class Two(nn.Module):
    """Two outputs, as a tuple or a dict."""

    def __init__(self, second, form):
        self.a, self.b, self.form = nn.Linear(4, 3, rng=0), nn.Linear(4, second, rng=1), form

    def forward(self, x):
        return self.form(self.a(x), self.b(x))


FORMS = {
    "tuple": (lambda a, b: (a, b), lambda o: o),
    "list": (lambda a, b: [a, b], lambda o: o),
    "dict": (lambda a, b: {"a": a, "b": b}, lambda o: (o["a"], o["b"])),
    "nested": (lambda a, b: {"a": (a, b)}, lambda o: o["a"]),
}


class TestSeveralOutputs:
    @pytest.mark.parametrize("second", [1, 3])
    @pytest.mark.parametrize("form", FORMS)
    def test_train_as_one_output_does(self, form, second):
        make, parts = FORMS[form]

        def loss(outputs, targets):
            a, b = parts(outputs)
            return F.cross_entropy(a, targets) + np.mean(b**2)

        class Joined(nn.Module):
            def __init__(self):
                self.two = Two(second, lambda a, b: (a, b))

            def forward(self, x):
                return np.concatenate(self.two(x), axis=1)

        def joined_loss(output, targets):
            return F.cross_entropy(output[:, :3], targets) + np.mean(output[:, 3:] ** 2)

        options = {"epochs": 2, "rng": 0, "progress": False, "validation": (X, Y)}
        one = fit(Joined(), (X, Y), loss=joined_loss, **options)
        for compile in (False, True):
            model = Two(second, make)
            history = fit(model, (X, Y), loss=loss, compile=compile, **options)
            assert history[-1].keys() == {"epoch", "lr", "train_loss", "validation_loss"}
            for name in ("train_loss", "validation_loss"):
                np.testing.assert_allclose(history[name], one[name], rtol=1e-5)
            a, b = parts(predict(model, X, batch_size=10))
            assert (type(a), a.shape, b.shape) == (np.ndarray, (64, 3), (64, second))
            np.testing.assert_allclose(a, X @ model.a.weight.data.T + model.a.bias.data, rtol=1e-4, atol=1e-6)

    def test_that_become_nan_are_found(self):
        model = Two(1, lambda a, b: {"a": a, "b": b})
        with pytest.raises(NonFiniteError, match="outputs became NaN or infinite"):
            fit(model, (X, Y), loss=lambda o, y: F.cross_entropy(o["a"], y) + np.mean(o["b"]), epochs=1,
                progress=False, rng=0, batch_size=64, optimizer=tg.optim.SGD(model.parameters(), lr=3e38))  # fmt: skip


class TestMetrics:
    def test_get_all_targets_and_outputs_at_once(self):
        seen = []

        def spread(targets, outputs):
            seen.append((targets.copy(), outputs.copy()))
            return np.float32(outputs.max() - outputs.min())

        model = nn.MLP([4, 3], rng=0)
        measured = evaluate(model, (X, Y), metrics=spread, batch_size=10)
        ((targets, outputs),) = seen
        np.testing.assert_array_equal(targets, Y)
        np.testing.assert_array_equal(outputs, predict(model, X, batch_size=10))
        assert measured["spread"] == float(outputs.max() - outputs.min())
        assert type(measured["spread"]) is float

    def test_measure_the_validation_data_of_each_epoch(self):
        metrics = {"right": lambda targets, outputs: int((outputs.argmax(1) == targets).sum())}
        history = fit(nn.MLP([4, 3], rng=0), (X, Y), validation=(X[:20], Y[:20]), metrics=metrics, epochs=3, rng=0,
                      progress=False)  # fmt: skip
        assert history["validation_right"] == [round(20 * share) for share in history["validation_accuracy"]]

    def test_get_several_outputs_as_the_model_returns_them(self):
        def both(targets, outputs):
            return outputs["a"].size + 1000 * outputs["b"].size

        model = Two(1, lambda a, b: {"a": a, "b": b})
        measured = evaluate(model, (X, Y), loss=lambda o, y: F.cross_entropy(o["a"], y), metrics=[both])
        assert measured["both"] == 3 * 64 + 1000 * 64

    @pytest.mark.parametrize(
        ("metrics", "words"),
        [
            ({"f1": 3}, "3 is not a function"),
            ("accuracy", "is not a function"),
            ([lambda targets, outputs: 0], "pass a dict"),
            ({"loss": mean}, "'loss' cannot be the name"),
            ([mean, mean], "several have the same name"),
            ({"all": lambda targets, outputs: targets}, "'all' returned .* must return a number"),
            ({"none": lambda targets, outputs: None}, "'none' returned None; it must return a number"),
        ],
    )
    def test_that_cannot_be_used_are_named(self, metrics, words):
        with pytest.raises(OptionError, match=words):
            evaluate(nn.MLP([4, 3], rng=0), (X, Y), metrics=metrics)

    def test_need_validation_data(self):
        with pytest.raises(OptionError, match="pass validation= too"):
            fit(nn.MLP([4, 3], rng=0), (X, Y), metrics=[mean], progress=False)


def test_positions_are_counted_in_every_order_of_batches():
    rng = np.random.default_rng(3)
    outputs, targets = rng.normal(size=(6, 3, 2)), rng.integers(0, 3, (6, 2))
    orders = itertools.islice(itertools.permutations(range(6)), 0, 720, 97)
    found = {given(outputs[list(o)], targets[list(o)], batch_size=4)["accuracy"] for o in orders}
    assert len(found) == 1
