"""What people do in their first week, and what they are told."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import primitive
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
    with pytest.raises(TypeError, match=r"unknown argument 'epoch' .did you mean 'epochs'.*valid: acc"):
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


# -- one batch of images, layers and their values ------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((4, 8, 8, 3), r"channels come before the pixels: np\.moveaxis\(x, -1, 1\)"),
        ((4, 192), "expected .N, C, H, W., or .C, H, W. without a batch$"),
    ],
)
def test_images_in_another_form(shape, said):
    with pytest.raises(ShapeError, match=said):
        tg.nn.Conv2d(3, 2, 3)(np.zeros(shape, np.float32))


def test_grey_images_without_their_channel():
    with pytest.raises(ShapeError, match=r"x\[:, np\.newaxis\] gives each its channel"):
        tg.nn.Conv2d(1, 2, 3)(np.zeros((4, 8, 8), np.float32))
    with pytest.raises(ShapeError, match=r"x\.reshape\(-1, 1, 28, 28\), or transform=tg\.data\.to_images"):
        tg.nn.Conv2d(1, 2, 3)(np.zeros((4, 784), np.float32))


@pytest.mark.parametrize("x", [None, "ab"])
def test_a_layer_wants_numbers(x):
    with pytest.raises(DTypeError, match=f"expects an array of numbers, got {x!r}"):
        tg.nn.Linear(2, 3)(x)


def test_several_outputs_in_the_place_of_one():
    net = tg.nn.Sequential(tg.nn.LSTM(4, 5, rng=0), tg.nn.Linear(5, 3, rng=0))
    with pytest.raises(
        ShapeError, match=r"got a tuple of 2 parts; .* an LSTM returns its outputs and its state"
    ):
        net(np.zeros((6, 2, 4), np.float32))

    class Comma(tg.nn.Module):
        def __init__(self):
            self.layer = tg.nn.Linear(4, 3, rng=0)

        def forward(self, x):
            return (self.layer(x),)

    with pytest.raises(ShapeError, match=r"got a tuple of 1 part, .* look for a comma after the `return`"):
        fit(Comma(), (X, Y))


def test_a_parameter_is_not_replaced_by_its_values():
    layer = tg.nn.Linear(2, 3, rng=0)
    for value in (np.zeros((3, 2)), layer.weight - 0.1, layer.weight.detach()):
        with pytest.raises(OptionError, match=r"weight is a Parameter, and a .* would not be trained"):
            layer.weight = value
    layer.bias = None
    layer.weight = tg.nn.Parameter(np.zeros((3, 2)))
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_a_module_is_frozen_parameter_by_parameter():
    with pytest.raises(OptionError, match=r"for p in module\.parameters\(\): p\.requires_grad = False"):
        model().requires_grad = False


def test_relu_with_max():
    t = tg.tensor([1.0, -1.0], requires_grad=True)
    with pytest.raises(ValueError, match=r"use np\.where\(t > 0, \.\.\.\) or np\.maximum\(t, 0\)"):
        max(t, 0)


# -- losses --------------------------------------------------------------------------------------


def test_a_single_class():
    one = tg.nn.MLP([4, 5, 1], rng=0)
    with pytest.raises(ShapeError, match=r"a single class, .* for numbers as targets use mse_loss"):
        fit(one, (X, np.sin(X[:, :1])))
    with pytest.raises(
        OptionError, match=r"target holds numbers outside .* for numbers as targets use mse_loss"
    ):
        fit(model(), (X, X[:, :3]))


@pytest.mark.parametrize("loss", ["mse", "bce", "l1"])
def test_integers_for_a_single_output(loss):
    one = tg.nn.MLP([4, 5, 1], rng=0)
    with pytest.raises(ShapeError, match=r"have only one; if they are numbers, .* targets\[:, None\]"):
        fit(one, (X, Y % 2), loss=loss)
    fit(one, (X, Y[:, None] % 2), loss=loss)


@pytest.mark.parametrize("labels", [np.array(["a", "b", "c"]), np.array(["a", "b", "c"], object)])
def test_classes_by_their_names(labels):
    with pytest.raises(DTypeError, match=r"number them, as in names, target = np\.unique"):
        fit(model(), (X, labels[Y]))


def test_one_column_of_targets():
    with pytest.raises(ShapeError, match=r"give both the same, as in target\.reshape\(input\.shape\)"):
        F.mse_loss(np.zeros((5, 1)), np.zeros(5))


@pytest.mark.parametrize("loss", [lambda out, y: np.mean(out.data), lambda out, y: float(out.data.sum())])
def test_a_loss_without_its_gradient(loss):
    with pytest.raises(GradientError, match="not a Tensor, so it has no gradient"):
        fit(loss=loss)


def test_a_loss_that_is_computed_already():
    with pytest.raises(OptionError, match="is a function of outputs and targets"):
        fit(loss=F.cross_entropy(model()(X), Y))


# -- fit and its settings --------------------------------------------------------------------------


def test_an_optimizer_of_a_model_that_was_made_anew():
    optimizer = tg.optim.Adam(model().parameters())
    with pytest.raises(OptionError, match=r"no parameter of this MLP; was the model made anew after it"):
        fit(optimizer=optimizer)


def test_schedules_that_would_do_nothing():
    net = model()
    other = tg.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(OptionError, match="another optimizer; pass that one as optimizer="):
        fit(net, (X, Y), schedule=tg.optim.CosineAnnealingLR(other, 10))
    with pytest.raises(OptionError, match=r"StepLR says nothing of its settings"):
        fit(schedule=tg.optim.StepLR)
    with pytest.raises(OptionError, match="must take the optimizer and the total number of updates"):
        fit(schedule=lambda optimizer: None)
    with pytest.raises(OptionError, match=r"StepLR: the optimizer comes first, .* got generator"):
        tg.optim.StepLR(net.parameters(), 3)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (
            lambda: fit(callbacks=tg.training.Doctor),
            r"got the class Doctor; pass an object, as in callbacks=Doctor",
        ),
        (lambda: fit(callbacks="early"), "'early' is not a Callback"),
        (lambda: fit(clip_norm="1"), "max_norm = '1' is not positive"),
        (lambda: tg.training.predict(model(), X, batch_size="8"), "batch_size is '8'"),
        (
            lambda: tg.training.predict(model(), "photo.png"),
            r"'photo.png' is a path; .* tg\.data\.read_images",
        ),
        (lambda: fit(model(), "train.csv"), r"'train.csv' is a path; read it first: tg\.data\.load_files"),
        (lambda: fit(model(), (X, Y, X, Y)), "got a tuple of 4 parts; pass a Dataset or a pair"),
        (
            lambda: tg.data.Dataset(X, Y).split(0.8),
            r"split\(0.8\): .* as in split\(int\(0.8 \* len\(data\)\)\)",
        ),
        (lambda: tg.data.Dataset(X, Y, transform=X), "transform is a ndarray; pass the function itself"),
        (lambda: tg.data.Dataset(X, Y, classes=3), "classes is 3; pass the name of each class"),
        (lambda: tg.data.Dataset(X.astype(str), Y), r"inputs are text .* \.astype\(float\)"),
        (lambda: tg.optim.Adam([model()]), r"got a MLP among the parameters; .* \[\*one\.parameters"),
        (lambda: tg.optim.Adam(model().parameters(), betas=0.9), r"betas = 0.9 must be a pair of numbers"),
        (lambda: tg.training.EarlyStopping("3"), "patience = '3' is not a positive number"),
        (
            lambda: tg.save(model(), "a.npz"),
            r"save: got MLP; pass a dict of arrays, as model\.state_dict\(\) is",
        ),
        (lambda: tg.save("a.npz", {}), "save: got str; pass a dict of arrays"),
        (lambda: model().load_state_dict("a.npz"), r"got a str; pass a dict of arrays, as tg\.load\(path\)"),
        (lambda: tg.grad(np.sin, X), "argnums = array.* is neither an integer nor several"),
        (lambda: tg.grad(np.sin, "x"), "argnums = 'x' is neither an integer nor several"),
        (lambda: tg.testing.gradcheck(X, np.sin), "gradcheck: the function comes first"),
        (lambda: tg.testing.gradcheck(np.sin, [1, 2]), "there is no floating-point input"),
        (lambda: tg.testing.check_graph(3.0), "check_graph: expects a Tensor, such as a loss, got float"),
        (lambda: tg.testing.numerical_gradient(np.sin, X), r"array of shape \(40, 4\); to measure a slope"),
        (lambda: tg.tensor([[1.0], [2.0, 3.0]]), "2 rows that differ in length"),
        (lambda: tg.tensor(X) @ 2.0, "a number is no matrix; multiply by it with"),
        (lambda: tg.tensor(X).reshape(3, 3), r"reshape: an input of shape \(40, 4\): cannot reshape"),
    ],
)
def test_what_is_in_the_wrong_place(mistake, said):
    with pytest.raises(tg.errors.TinygradError, match=said):
        mistake()


def test_a_file_of_torch_save(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(tg.errors.DataError, match=r"a zip archive, as torch\.save writes it"):
        tg.load(tmp_path / "w.pt")


# -- data of other libraries -----------------------------------------------------------------------


@pytest.mark.parametrize("library", ["torch", "pandas"])
def test_constants_of_other_libraries(library):
    module = pytest.importorskip(library)
    make = module.tensor if library == "torch" else module.DataFrame
    net, x = model(), make(X)
    y = module.tensor(Y) if library == "torch" else module.Series(Y)
    F.cross_entropy(net(x), y).backward()
    found = net[0].weight.grad.data.copy()
    net.zero_grad()
    F.cross_entropy(net(X), Y).backward()
    np.testing.assert_allclose(found, net[0].weight.grad.data)
    t = tg.tensor(X.T, requires_grad=True)
    (t * make(X.T) + (t @ x).sum()).sum().backward()
    np.testing.assert_allclose(t.grad.data, X.T + X.size * X.sum(axis=1), rtol=1e-4)


def test_a_tensor_beside_text():
    t = tg.tensor([1.0, 2.0], requires_grad=True)
    assert t not in ["a"]
    assert t != "a"


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("x^2", r"not 'x \^ 2'; a power is written x \*\* 2"),
        ("2x + 1", r"cannot be read: invalid decimal literal; write 2 \* x for 2x"),
        ("x +", "cannot be read: invalid syntax$"),
    ],
)
def test_formulas_as_pupils_write_them(formula, said):
    from tinygrad_mnist.viz.steps.expression import compute

    with pytest.raises(OptionError, match=said):
        compute(formula, {"x": 1.0})


# -- operations of one's own -----------------------------------------------------------------------


def test_primitive_without_parentheses():
    with pytest.raises(UnsupportedError, match=r"write @tg\.primitive\(\) with parentheses above double"):

        @tg.primitive
        def double(x, /):
            return 2 * x


def test_a_rule_without_return():
    @tg.primitive(name="doubled for a test of beginners")
    def double(x, /):
        return 2 * x

    def rule(g, y, x):
        g * 2

    double.vjp(rule)
    x = tg.tensor(1.0, requires_grad=True)
    with pytest.raises(ShapeError, match=r"rule 0 of doubled .*: it returned None; end it with `return`"):
        double(x).backward()
    del primitive._ALL[double.name]


def test_what_is_given_to_rebuild_a_model(tmp_path):
    tg.training.save_model(Own(3), tmp_path / "own.safetensors")
    assert tg.training.load_model(tmp_path / "own.safetensors", classes=Own).size == 3
    with pytest.raises(OptionError, match="pass them, not their names"):
        tg.training.load_model(tmp_path / "own.safetensors", classes=["Own"])


class Own(tg.nn.Module):
    def __init__(self, size):
        self.size, self.layer = size, tg.nn.Linear(2, size, rng=0)

    def forward(self, x):
        return self.layer(x)


def test_a_layer_that_is_hidden_in_a_function():
    layer = tg.nn.Linear(4, 3, rng=0)

    class Hidden(tg.nn.Module):
        def __init__(self):
            self.run = lambda x: layer(x)

        def forward(self, x):
            return self.run(x)

    before = layer.weight.data.copy()
    fit(Hidden(), (X, Y), optimizer=tg.optim.SGD(layer.parameters(), lr=0.1))
    assert (layer.weight.data != before).any()


def test_the_doctor_and_checkpoints_want_the_right_things():
    with pytest.raises(OptionError, match="diagnose: the model comes first"):
        tg.training.diagnose((X, Y), model())
    with pytest.raises(GradientError, match="checkpoint: differentiates a function"):
        tg.checkpoint(model()(X))


def test_a_tensor_among_those_of_pytorch():
    torch = pytest.importorskip("torch")
    t = tg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(UnsupportedError, match=r"PyTorch's exp takes no Tensor .* use NumPy's functions"):
        torch.exp(t)
    with pytest.raises(UnsupportedError, match=r"PyTorch's cross_entropy takes no Tensor"):
        fit(loss=torch.nn.CrossEntropyLoss())
    (torch.tensor([3.0, 4.0]) * t).sum().backward()
    np.testing.assert_array_equal(t.grad.data, [3, 4])
    assert (torch.ones(2) < t).dtype == bool


@pytest.mark.parametrize("library", ["torch", "pandas"])
def test_a_compiled_function_takes_arrays(library):
    module = pytest.importorskip(library)
    x = module.ones(2) if library == "torch" else module.Series([1.0, 2.0])
    with pytest.raises(
        tg.errors.CompileError, match=r"'x' is a .*, not a plain array; pass np\.asarray\(x\)"
    ):
        tg.compile(lambda x: x * 2)(x)
