"""Gradients of embeddings that stay sparse, against dense ones and against PyTorch's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.sparse import SparseGradient

F = tg.nn.functional
WORDS = np.array([[4, 1, 4], [0, 4, 6]])
TARGETS = np.random.default_rng(1).normal(size=(2, 3, 2))


def table(seed: int = 0, rows: int = 9) -> tg.nn.Parameter:
    return tg.nn.Parameter(np.random.default_rng(seed).normal(size=(rows, 2)), dtype=np.float64)


def loss_of(weight, words=WORDS, *, sparse):
    return ((F.embedding(words, weight, sparse=sparse) - TARGETS) ** 2).sum()


def gradient(loss, *weights):
    for w in weights:
        w.zero_grad()
    loss().backward()
    return [w.grad for w in weights]


def test_the_gradient_holds_the_rows_that_were_taken_bit_for_bit():
    w = table()
    (sparse,) = gradient(lambda: loss_of(w, sparse=True), w)
    (dense,) = gradient(lambda: loss_of(w, sparse=False), w)
    assert isinstance(sparse, SparseGradient)
    assert sparse.rows.tolist() == [0, 1, 4, 6]
    np.testing.assert_array_equal(sparse.toarray(), dense.data)
    assert np.asarray(sparse).dtype == w.dtype


@pytest.mark.parametrize("order", ["sparse first", "dense first"])
def test_contributions_of_both_kinds_add_up(order):
    w = table()
    first = order == "sparse first"

    def loss():
        return loss_of(w, sparse=first) + (loss_of(w, WORDS[::-1], sparse=not first)) + (w**2).sum()

    (g,) = gradient(loss, w)
    (expected,) = gradient(
        lambda: loss_of(w, sparse=False) + loss_of(w, WORDS[::-1], sparse=False) + (w**2).sum(), w
    )
    np.testing.assert_allclose(np.asarray(g), expected.data, rtol=1e-14)


def test_two_backward_passes_add_up_and_zero_grad_forgets():
    w = table()
    for words in (WORDS, WORDS + 2):
        loss_of(w, words, sparse=True).backward()
    assert w.grad.rows.tolist() == [0, 1, 2, 3, 4, 6, 8]
    v = table()
    for words in (WORDS, WORDS + 2):
        loss_of(v, words, sparse=False).backward()
    np.testing.assert_allclose(w.grad.toarray(), v.grad.data, rtol=1e-14)
    (v**2).sum().backward()  # to a sparse one, a dense one
    (w**2).sum().backward()
    np.testing.assert_allclose(np.asarray(w.grad), v.grad.data, rtol=1e-14)
    loss_of(w, sparse=True).backward()  # to a dense one, a sparse one
    loss_of(v, sparse=False).backward()
    np.testing.assert_allclose(np.asarray(w.grad), v.grad.data, rtol=1e-14)
    w.zero_grad()
    assert w.grad is None


def test_everything_but_a_leaf_gets_arrays():
    w, v = table(), table()
    loss_of(w * 2, sparse=True).backward()  # the rule of the product gets an array
    loss_of(v * 2, sparse=False).backward()
    np.testing.assert_allclose(w.grad.data, v.grad.data, rtol=1e-14)
    dense = tg.grad(lambda x: loss_of(x, sparse=False))(v.data)
    np.testing.assert_array_equal(tg.grad(lambda x: loss_of(x, sparse=True))(v.data), dense)
    hooked = table()
    hooked.register_hook(lambda g: g * 2)
    loss_of(hooked, sparse=True).backward()
    np.testing.assert_allclose(hooked.grad.data, 2 * dense)
    twice = table()
    loss_of(twice, sparse=True).backward(create_graph=True)
    np.testing.assert_allclose(twice.grad.data, dense)
    inside = table()
    tg.checkpoint(lambda x: loss_of(x, sparse=True))(inside).backward()
    np.testing.assert_allclose(np.asarray(inside.grad), dense)
    with tg.detect_anomaly():
        watched = table()
        loss_of(watched, sparse=True).backward()
    np.testing.assert_allclose(np.asarray(watched.grad), dense)


def test_gradcheck_takes_it():
    model = tg.nn.Sequential(tg.nn.Embedding(9, 2, sparse=True, rng=0), tg.nn.Linear(2, 2, rng=0)).astype(
        np.float64
    )
    loss = lambda: (model(WORDS) ** 2).sum()  # noqa: E731
    loss().backward()
    tg.testing.check_parameter(loss, model[0].weight)
    assert tg.testing.gradcheck(lambda w: loss_of(w, sparse=True), table().data)


def test_clipping():
    w, v = table(), table()
    loss_of(w, sparse=True).backward()
    loss_of(v, sparse=False).backward()
    assert tg.optim.clip_grad_norm_([w], 0.5) == pytest.approx(tg.optim.clip_grad_norm_([v], 0.5))
    assert isinstance(w.grad, SparseGradient)
    np.testing.assert_allclose(w.grad.toarray(), v.grad.data)
    for p in (w, v):
        tg.optim.clip_grad_value_([p], 0.1)
    np.testing.assert_allclose(w.grad.toarray(), v.grad.data)


def test_copies_and_pickles_keep_it():
    w = table()
    loss_of(w, sparse=True).backward()
    for other in (copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        np.testing.assert_array_equal(other.grad.toarray(), w.grad.toarray())
    kept = w.grad
    w.zero_grad()
    w.grad = kept
    np.testing.assert_array_equal(w.grad.toarray(), kept.toarray())
    with pytest.raises(tg.errors.ShapeError, match=r"grad: shape \(9, 2\)"):
        table(rows=3).grad = kept


def test_other_functions_say_what_to_do():
    w = table()
    loss_of(w, sparse=True).backward()
    with pytest.raises(tg.errors.UnsupportedError, match=r"np.multiply of a sparse gradient: write it out"):
        np.ones(2) * w.grad


OPTIMIZERS = {
    "sgd": (tg.optim.SGD, "SGD", {"lr": 0.1}),
    "momentum": (tg.optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": (tg.optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "adagrad": (tg.optim.Adagrad, "Adagrad", {"lr": 0.1}),
    "sparse adam": (tg.optim.SparseAdam, "SparseAdam", {"lr": 0.1, "eps": 1e-2}),
}


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_as_pytorch_does(name):
    torch = pytest.importorskip("torch")
    make, theirs, settings = OPTIMIZERS[name]
    w = table()
    v = torch.tensor(w.data.copy(), requires_grad=True)
    ours, other = make([w], **settings), getattr(torch.optim, theirs)([v], **settings)
    rng = np.random.default_rng(0)
    for _ in range(6):
        words = rng.integers(0, 8, (2, 3))  # the last word never occurs
        ours.zero_grad()
        loss_of(w, words, sparse=True).backward()
        ours.step()
        other.zero_grad()
        y = torch.nn.functional.embedding(torch.from_numpy(words), v, sparse=True)
        ((y - torch.from_numpy(TARGETS)) ** 2).sum().backward()
        other.step()
        np.testing.assert_allclose(w.data, v.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adagrad"])
def test_the_same_as_with_dense_gradients(name):
    make, _, settings = OPTIMIZERS[name]
    tables = {True: table(), False: table()}
    for sparse, w in tables.items():
        optimizer = make([w], **settings)
        for i in range(4):
            optimizer.zero_grad()
            loss_of(w, (WORDS + i) % 8, sparse=sparse).backward()
            optimizer.step()
    np.testing.assert_array_equal(tables[True].data, tables[False].data)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (tg.optim.Adam, {}, "Adam changes every row"),
        (tg.optim.AdamW, {}, "AdamW with weight_decay changes every row"),
        (tg.optim.RMSprop, {}, "RMSprop changes every row"),
        (tg.optim.SGD, {"weight_decay": 0.1}, "SGD with weight_decay changes every row"),
        (tg.optim.Adagrad, {"weight_decay": 0.1}, "Adagrad with weight_decay changes every row"),
    ],
)
def test_others_refuse_it_by_name(make, settings, message):
    model = tg.nn.Embedding(9, 2, sparse=True, rng=0)
    before = model.weight.data.copy()
    optimizer = make(model.parameters(), **settings)
    model(WORDS).sum().backward()
    with pytest.raises(tg.errors.OptionError, match=rf"{message}.*'weight' is sparse"):
        optimizer.step()
    np.testing.assert_array_equal(model.weight.data, before)
    assert not optimizer.state


def test_programs_have_dense_gradients_with_the_same_result():
    results = []
    for compiled in (False, True):
        model = tg.nn.Embedding(9, 2, sparse=True, rng=0)
        optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
        loss = lambda words, model=model: (model(words) ** 2).sum()  # noqa: E731
        if compiled:
            step = tg.compile(loss, optimizer=optimizer)
            for _ in range(3):
                step(WORDS)
        else:
            for _ in range(3):
                optimizer.zero_grad()
                loss(WORDS).backward()
                optimizer.step()
        results.append(model.weight.data)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6)


def test_a_program_refuses_sparse_adam():
    model = tg.nn.Embedding(9, 2, sparse=True, rng=0)
    step = tg.compile(lambda x: (model(x) ** 2).sum(), optimizer=tg.optim.SparseAdam(model.parameters()))
    with pytest.raises(
        tg.errors.CompileError, match="SparseAdam: a compiled program computes a gradient for every row"
    ):
        step(WORDS)


class Bag(tg.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = tg.nn.Embedding(9, 4, padding_idx=0, sparse=True, rng=0)
        self.scores = tg.nn.Linear(4, 2, rng=1)

    def forward(self, x):
        return self.scores(self.words(x).mean(1))


def test_fit_trains_goes_on_and_refuses_to_accumulate(tmp_path):
    rng = np.random.default_rng(0)
    words = rng.integers(0, 9, (40, 3))
    data = words, (words.sum(1) > 12).astype(int)
    settings = {
        "batch_size": 8,
        "rng": 0,
        "progress": False,
        "clip_norm": 1.0,
        "optimizer": tg.optim.SparseAdam,
    }
    whole, halves = Bag(), Bag()
    tg.training.fit(whole, data, epochs=4, **settings)
    tg.training.fit(halves, data, epochs=2, resume=tmp_path, **settings)
    again = Bag()
    tg.training.fit(again, data, epochs=4, resume=tmp_path, **settings)
    np.testing.assert_array_equal(again.words.weight.data, whole.words.weight.data)
    assert not whole.words.weight.data[0].any()  # the word that stands for nothing
    with pytest.raises(tg.errors.OptionError, match="accumulate= and parallel= add up whole gradients"):
        tg.training.fit(Bag(), data, epochs=1, accumulate=2, **settings)


def test_pytorch_models_keep_the_setting():
    torch = pytest.importorskip("torch")
    ours = tg.from_torch(torch.nn.Sequential(torch.nn.Embedding(5, 2, sparse=True)))
    assert ours[0].sparse
    assert tg.to_torch(ours)[0].sparse
