"""What people do in their first week, and what they are told."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.errors import (
    DTypeError,
    GradientError,
    LostGradientWarning,
    OptionError,
    RunError,
    ShapeError,
    UnsupportedError,
)
from tinygrad_mnist.nn import functional as F  # noqa: N812

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 40)


def model():
    return tg.nn.MLP([4, 5, 3], rng=0)


def fit(*args, **settings):
    return tg.training.fit(*(args or (model(), (X, Y))), epochs=1, rng=0, progress=False, **settings)


# -- a gradient that ends ------------------------------------------------------------------------


@pytest.mark.parametrize("function", [math.sin, math.isfinite, float, complex])
def test_a_tracked_tensor_becomes_a_number(function):
    t = tg.tensor(0.5, requires_grad=True)
    with pytest.warns(LostGradientWarning, match="its gradient ends there") as caught:
        function(t * 2)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function((t * 2).item())
        function((t * 2).detach())
        f"{t * 2:.3f} {t * 2}"
        with tg.no_grad():
            function(t * 2)


def test_the_gradient_of_a_computed_tensor():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    y = w * 2
    y.sum().backward()
    with pytest.warns(LostGradientWarning, match="retain_grad") as caught:
        assert y.grad is None
    assert caught[0].filename == __file__
    y = w * 2
    y.retain_grad()
    assert y.grad is None
    assert tg.tensor(1.0).grad is None


# -- an optimizer --------------------------------------------------------------------------------


def test_a_model_in_the_place_of_its_parameters():
    with pytest.raises(
        OptionError, match=r"got a MLP; pass its parameters, as in Adam\(model.parameters\(\)\)"
    ):
        tg.optim.Adam(model())


def test_a_learning_rate_in_quotation_marks():
    with pytest.raises(OptionError, match=r"lr = '0.1' is a string; pass a number"):
        tg.optim.Adam(model().parameters(), lr="0.1")


def test_arrays_that_are_no_parameters():
    class Net(tg.nn.Module):
        def __init__(self):
            self.w = np.ones(3)

    with pytest.raises(OptionError, match=r"tg\.nn\.Parameter"):
        tg.optim.SGD(Net().parameters())


def test_one_tensor_in_the_place_of_a_list():
    w = tg.tensor([1.0], requires_grad=True)
    assert tg.optim.SGD(w).param_groups[0]["params"] == [w]


def test_a_parameter_changed_in_place():
    w = tg.nn.Parameter([1.0, 2.0])
    with pytest.raises(
        tg.errors.GradientError, match=r"the parameter of shape \(2,\) cannot be changed in place"
    ):
        w -= 1.0


# -- fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize(
    "optimizer", ["adam", "SGD", tg.optim.Adam, lambda params: tg.optim.SGD(params, lr=0.1)]
)
def test_an_optimizer_by_name_or_class(optimizer, compile):
    net = model()
    before = net.state_dict()
    fit(net, (X, Y), optimizer=optimizer, compile=compile)
    assert any((net.state_dict()[name] != value).any() for name, value in before.items())


def test_the_default_optimizer_is_adam():
    assert fit()[0] == fit(optimizer="adam")[0] == fit(optimizer=tg.optim.Adam)[0]


def test_gradients_cleared_between_backward_and_step():
    net = model()
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
    F.cross_entropy(net(X), Y).backward()
    optimizer.zero_grad()
    with pytest.raises(
        GradientError, match=r"call loss\.backward\(\) first.*, and zero_grad\(\) before that"
    ):
        optimizer.step()


@pytest.mark.parametrize("inputs", [X.tolist(), tg.tensor(X), (X, Y), [list(row) for row in X]])
def test_inputs_that_are_no_array(inputs):
    np.testing.assert_allclose(
        tg.training.predict(model(), inputs), tg.training.predict(model(), X), rtol=1e-5
    )


def test_a_loss_by_name_or_class():
    assert fit(loss="cross-entropy")[0] == fit(loss=tg.nn.CrossEntropyLoss)[0] == fit()[0]
    net = tg.nn.MLP([4, 5, 2], rng=0)
    targets = X[:, :2]
    named = fit(tg.nn.MLP([4, 5, 2], rng=0), (X, targets), loss="mse")
    assert named[0] == fit(net, (X, targets), loss=F.mse_loss)[0]
    assert tg.training.evaluate(net, (X, targets), loss="mse")["loss"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adem"}, "unknown optimizer 'adem' .did you mean 'adam'"),
        ({"optimizer": 3}, "is not an Optimizer, nor a function or class"),
        ({"optimizer": lambda params: None}, "is not an Optimizer, nor a function or class"),
        ({"loss": "msee"}, "unknown loss 'msee' .did you mean 'mse'"),
        ({"loss": lambda output, y: None}, "the loss returned nothing"),
        ({"callbacks": [print]}, "is not a Callback; derive a class"),
        ({"callbacks": print}, "is not a Callback; derive a class"),
    ],
)
def test_settings_that_are_wrong(settings, message):
    with pytest.raises(OptionError, match=message):
        fit(**settings)


def test_one_callback():
    class Count(tg.training.Callback):
        epochs = 0

        def on_epoch(self, training):
            self.epochs += 1

    count = Count()
    fit(callbacks=count)
    assert count.epochs == 1


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_a_forward_without_return(inside, compile):
    class Forgets(tg.nn.Module):
        def __init__(self):
            self.layer = tg.nn.Linear(4, 3, rng=0)

        def forward(self, x):
            self.layer(x)

    net = tg.nn.Sequential(Forgets(), tg.nn.ReLU()) if inside else Forgets()
    with pytest.raises(UnsupportedError, match=r"Forgets\.forward returned nothing; end it with `return"):
        fit(net, (X, Y), compile=compile)


def test_train_and_test_in_one():
    both = tg.data.load_mnist("sample")
    with pytest.raises(OptionError, match=r"two data sets, \(train, test\)"):
        fit(model(), both)
    with pytest.raises(OptionError, match=r"two data sets, \(train, test\)"):
        tg.training.evaluate(model(), both)


def test_the_model_comes_first():
    with pytest.raises(OptionError, match="the model comes first"):
        fit((X, Y), model())


def test_a_measure_that_is_not_there():
    history = fit(validation=(X, Y))
    with pytest.raises(
        OptionError, match=r"unknown measure 'val_loss' .did you mean 'validation_loss'.*train_loss"
    ):
        history["val_loss"]
    assert tg.training.History()["train_loss"] == []


def test_inputs_and_targets_are_one_pair():
    with pytest.raises(
        TypeError, match=r"inputs and targets are one pair, as in fit\(model, \(inputs, targets\)\)"
    ):
        tg.training.fit(model(), X, Y)
    with pytest.raises(TypeError, match=r"as in evaluate\(model, \(inputs, targets\)\)"):
        tg.training.evaluate(model(), X, Y)


def test_an_argument_that_fit_does_not_have():
    with pytest.raises(TypeError, match=r"epoch=int\), but takes \(model, train, epochs=5"):
        tg.training.fit(model(), (X, Y), epoch=3)
    with pytest.raises(TypeError, match=r"a learning rate is the optimizer's, as in optimizer="):
        fit(lr=0.1)


def test_a_type_error_inside_of_a_training_stays_as_it_is():
    with pytest.raises(TypeError, match="has no len"):
        fit(loss=lambda outputs, targets: len(5))


@pytest.mark.parametrize("epochs", ["3", 1.5, 0, -1, None])
def test_epochs_are_a_positive_integer(epochs):
    with pytest.raises(OptionError, match=f"epochs = {epochs!r} is not a positive integer"):
        tg.training.fit(model(), (X, Y), epochs=epochs)


def test_a_class_in_the_place_of_a_model():
    for call in (tg.training.fit, tg.training.evaluate, tg.training.predict):
        with pytest.raises(OptionError, match=r"got the class ReLU; pass an object, as in ReLU\(\)"):
            call(tg.nn.ReLU, (X, Y))


def test_a_model_does_not_train_itself():
    with pytest.raises(OptionError, match=r"tg\.training\.fit\(model, data\) trains"):
        model().train(X)


def test_saving_the_other_way_round(tmp_path):
    with pytest.raises(OptionError, match="save_model: the model comes first"):
        tg.training.save_model(tmp_path / "a.safetensors", model())
    tg.training.save_model(model(), tmp_path / "model.safetensors")
    with pytest.raises(RunError, match=r"did you mean .*model\.safetensors\?"):
        tg.training.load_model(tmp_path)


# -- making and calling --------------------------------------------------------------------------


class Net(tg.nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("module", "args", "message"),
    [
        (Net(), (X, Y), r"^Net\.forward: got \(ndarray, ndarray\), but takes \(x\); targets go to the loss"),
        (
            model(),
            (X, Y),
            r"^MLP\.forward: got \(ndarray, ndarray\), but takes \(x\); targets go to the loss",
        ),
        (Net(), (), r"^Net\.forward: got \(\), but takes \(x\)$"),
        (tg.nn.CrossEntropyLoss(), (X,), r"got \(ndarray\), but takes \(input, target\)$"),
    ],
)
def test_arguments_that_a_forward_does_not_take(module, args, message):
    with pytest.raises(TypeError, match=message):
        module(*args)


def test_a_forward_without_self():
    class Forgets(tg.nn.Module):
        def forward(x):  # noqa: N805
            return x

    with pytest.raises(TypeError, match=r"does it begin with self, as in def forward\(self, x\)"):
        Forgets()(X)


def test_a_type_error_inside_of_a_forward_stays_as_it_is():
    class Fails(tg.nn.Module):
        def forward(self, x):
            return len(5)

    with pytest.raises(TypeError, match="has no len"):
        Fails()(X)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tg.nn.ReLU(X), "data are not for making this object"),
        (lambda: tg.nn.LeakyReLU(tg.tensor(0.5)), "data are not for making this object"),
        (lambda: tg.nn.CrossEntropyLoss(X, Y), "data are not for making this object"),
        (lambda: tg.nn.ReLU(3), "ReLU is made without arguments"),
        (lambda: Net(3), "Net is made without arguments"),
    ],
)
def test_making_in_the_place_of_calling(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (tg.nn.ReLU, r"argument 2 is the class ReLU; pass an object, as in ReLU\(\)"),
        ([tg.nn.ReLU()], r"argument 2 is a list; .* Sequential\(\*layers\)"),
        (F.relu, r"argument 2 is the function relu; pass a Module"),
        (None, r"argument 2 is None; pass a Module"),
    ],
)
def test_what_is_no_module_in_a_chain(part, message):
    with pytest.raises(OptionError, match=message):
        tg.nn.Sequential(tg.nn.Linear(4, 3), part)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tg.nn.Linear(4.0, 3), "Linear: sizes 4.0, 3 must be positive integers"),
        (lambda: tg.nn.Linear("4", 3), "Linear: sizes '4', 3 must be positive integers"),
        (lambda: tg.nn.MLP(4, 3), r"MLP: sizes are 4; pass a list"),
        (lambda: tg.nn.MLP("4,3"), r"MLP: sizes are '4,3'; pass a list"),
        (lambda: tg.nn.MLP([4, 2.5, 3]), "MLP: sizes 4, 2.5, 3 must be positive integers"),
        (lambda: tg.nn.MLP([4, 5, 3], F.relu), "the activation relu does not make a layer"),
        (lambda: tg.nn.MLP([4, 5, 3], tg.nn.ReLU()), "the activation ReLU does not make a layer"),
        (lambda: tg.nn.MLP([4, 5, 3], "RELU"), "did you mean 'relu'"),
    ],
)
def test_settings_of_layers(make, message):
    with pytest.raises(OptionError, match=message):
        make()
    assert len(tg.nn.MLP(np.array([4, 5, 3]), tg.nn.ReLU)) == 3


@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad, tg.jacobian, tg.hessian])
def test_a_loss_in_the_place_of_a_function(transform):
    loss = tg.tensor([1.0, 2.0], requires_grad=True).sum()
    with pytest.raises(
        GradientError, match=r"differentiates a function, .* got Tensor .* loss\.backward\(\)"
    ):
        transform(loss)


@pytest.mark.parametrize("data", ["abc", {"a": 1.0}, None])
def test_what_is_no_number(data):
    with pytest.raises(DTypeError, match=f"from {type(data).__name__}"):
        tg.tensor(data)


# -- shapes --------------------------------------------------------------------------------------


def test_a_product_whose_transpose_would_fit():
    x, w = np.ones((64, 784)), tg.tensor(np.ones((10, 784)), requires_grad=True)
    with pytest.raises(ShapeError, match=r"784 columns of the first meet 10 rows of the second; .* a @ b\.T"):
        x @ w
    with pytest.raises(ShapeError, match=r"784 columns of the first meet 10 rows of the second$"):
        x @ tg.tensor(np.ones((10, 3)))


def test_one_image_in_the_place_of_a_batch():
    net = tg.nn.MLP([784, 10], rng=0)
    with pytest.raises(ShapeError, match=r"make it a batch of one: x\.reshape\(1, -1\)"):
        tg.training.predict(net, np.ones((28, 28), np.float32))


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (lambda: tg.optim.SGD(model().parameters(), lr=[0.1, 0.01]), r"lr = \[0.1, 0.01\] must be a number"),
        (lambda: tg.optim.SGD(model().parameters(), lr=None), "lr = None must be a number"),
        (
            lambda: tg.optim.SGD(model().parameters(), lr=0.1, momentum=90),
            r"momentum = 90 is not in \[0, 1\)",
        ),
        (lambda: fit(validation=0.2), r"validation = 0.2 is a number; pass data, as in .*split\("),
        (lambda: fit(schedule="cosine"), "'cosine' is neither a Schedule nor .* such as tg.optim.OneCycleLR"),
        (lambda: tg.compile(model()(X)), "Tensor is not a function; pass the function, not what it returns"),
        (
            lambda: tg.viz.draw_graph(model()),
            r"got MLP; pass what a model returns, as in draw_graph\(model\(x\)\)",
        ),
    ],
)
def test_numbers_data_and_results_in_the_wrong_place(mistake, said):
    with pytest.raises(tg.errors.TinygradError, match=said):
        mistake()
