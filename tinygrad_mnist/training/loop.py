"""The training loop: forward, backward, update, and a check on data that the model has not learned from."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from ..data import DataLoader, Dataset
from ..data.batches import Batches, BatchSource, adopt, make_loader
from ..data.examples import ExampleSource
from ..errors import OptionError, ShapeError, misfit
from ..graph import no_grad
from ..nn import Module
from ..nn.modes import evaluating
from ..optim import Optimizer, Schedule
from ..tensor import Tensor
from ..trees import leaves
from ..typing import Array, NDArray
from .callbacks import Callback, Training
from .epochs import Epoch, undo_epoch
from .history import History
from .making import Loss, check_model, make_optimizer, make_schedule, named_loss, require_parameters
from .metrics import Metric, Tally, class_axis, join, measure, named_metrics, plain
from .parallel import Parallel
from .progress import Progress
from .resuming import Parts, Resumption
from .steps import TrainingStep
from .threads import choose_threads, count_threads, limit_threads

__all__ = ["evaluate", "fit", "predict"]

Data = Dataset | DataLoader | tuple[NDArray, NDArray] | ExampleSource | BatchSource
Metrics = Mapping[str, Metric] | Iterable[Metric] | Metric


P = ParamSpec("P")
R = TypeVar("R")


def _explained(function: Callable[P, R]) -> Callable[P, R]:
    """Say in words what is wrong with the arguments of a call."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError:
            words = misfit(function, args, kwargs)
            if not words:
                raise
            if "lr" in kwargs:
                words += (
                    "; a learning rate is the optimizer's, as in optimizer=Adam(model.parameters(), lr=0.01)"
                )
            if len(args) > 2:
                words += (
                    f"; inputs and targets are one pair, as in {function.__name__}(model, (inputs, targets))"
                )
            raise TypeError(f"{function.__name__}: {words}") from None

    return call


@_explained
def fit(
    model: Module,
    train: Data,
    *,
    epochs: int = 5,
    batch_size: int = 64,
    loss: Loss | str | None = None,
    optimizer: Optimizer | Callable[[Iterable[Tensor]], Optimizer] | str | None = None,
    schedule: Schedule | Callable[[Optimizer, int], Schedule] | None = None,
    validation: Data | None = None,
    metrics: Metrics | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    rng: np.random.Generator | int | None = None,
    callbacks: Callback | Iterable[Callback] = (),
    progress: bool = True,
    compile: bool | str = False,
    resume: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 10,
    threads: int | None = None,
    parallel: str | Parallel | None = None,
) -> History:
    """Train a model.

    Parameters
    ----------
    model : Module
        The model; it is trained in place.
    train : Dataset, DataLoader, or (inputs, targets)
        The data; except for a DataLoader, they are shuffled before each epoch. PyTorch's data sets and loaders are
        taken too, and whatever looks like them.
    epochs : int, default 5
        Number of passes through the data.
    batch_size : int, default 64
        Number of samples per update; ignored for a DataLoader.
    loss : callable or str, default ``nn.CrossEntropyLoss()``
        ``loss(model(x), y)`` must be a scalar, a mean over the batch. A model may return several outputs, as a tuple,
        list or dict of Tensors; the loss gets them as they are. By name: ``'cross-entropy'``,
        ``'mse'``, ``'l1'``, ``'huber'`` or ``'bce'``. A class is made with its default settings.
    optimizer : Optimizer, class, function or str, default ``'adam'``
        A class or a function gets the parameters. With a name, such as ``'sgd'``, it has its default settings.
    schedule : Schedule, or a function that makes one
        It takes a step after every update. A function gets the optimizer and the total number of updates, as
        in ``schedule=tg.optim.OneCycleLR``. A :class:`~tinygrad_mnist.optim.ReduceLROnPlateau` takes one after every
        epoch, and watches the validation loss, or the training loss without validation data.
    validation : as ``train``, optional
        Data to measure after each epoch.
    metrics : dict of functions, or a function or several, optional
        Further measures of the validation data, as for :func:`evaluate`; in the history, their names begin with
        ``validation_``.
    clip_norm : float, optional
        Limit for the joint norm of the gradients.
    accumulate : int, default 1
        How many batches add up their gradients for one update, with the mean: the same as larger batches (except for
        layers such as batch norm, which look at a batch as a whole), in less memory. An update ends each epoch.
    rng : numpy.random.Generator or seed
        Source of the random order. The same seed and the same model give the same result, bit for bit, with the same
        number of threads: a BLAS rounds in another order with another number.
    callbacks : Callback, or iterable of them
    progress : bool, default True
        Whether to show a table and curves in a notebook, a bar on a terminal, or a line per epoch elsewhere.
    compile : {False, True, 'numpy', 'numba', 'auto'}
        Whether to train with a program of :func:`~tinygrad_mnist.compile`: faster, especially with small
        networks and batches, for models that it can trace. True means ``'numpy'``; ``'numba'`` is machine
        code, which takes some seconds to compile; ``'auto'`` is machine code if numba is installed and
        the training is long enough to make up for these seconds, and the NumPy program otherwise (see
        :class:`TrainingStep`). The parameters then keep no ``grad`` for callbacks.
    resume : path, optional
        A folder. After each epoch, the file ``checkpoint.safetensors`` there gets all that this training needs to go
        on. The same call, in the same process or a new one, then goes on from there; if the folder is new or empty,
        training starts. The result is the same as without the interruption, bit for bit. With more ``epochs``, a
        finished training goes on, too. While ``fit`` runs, Ctrl-C and SIGTERM come after the batch, and the
        checkpoint is written before.
    checkpoint_every : float, default 10
        Minutes between two checkpoints within a long epoch.
    threads : int, optional
        Number of threads for matrix products. By default, ``OMP_NUM_THREADS`` or ``OPENBLAS_NUM_THREADS`` says how
        many. Without these, it is one for products that are too small for more, or if others use the cores, and
        otherwise as many as there are cores; that is chosen when training starts. The setting is one for the whole
        process: of trainings in several Python threads, the least number counts.
    parallel : {None, 'mpi'}
        With ``'mpi'``, all processes that ``mpiexec`` has started train one model together, each with its share of
        every batch. All of them make this call, with the same data and settings. The first one validates and has the
        folder; it alone calls callbacks that only watch. ``docs/parallel.md`` says what is the same as in one process.

    Returns
    -------
    History
        One row per epoch. ``train_loss`` and ``train_accuracy`` are averages over the epoch, during
        which the weights changed; ``backend`` says what ran, and ``threads`` with how
        many threads. The model is left in ``eval()``
        mode. See :func:`evaluate` for what the accuracy is.

    Raises
    ------
    RunError
        If the folder holds a training with another model or other settings, or if another process trains there; or
        if the processes that train together were given different data or settings.
    NonFiniteError
        If a loss or a weight becomes NaN or infinite; the model is then reset to the weights before
        that epoch, and the optimizer has no memory.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> train, test = tg.data.load_mnist("sample")
    >>> model = tg.nn.MLP([784, 32, 10], rng=0)
    >>> history = fit(model, train, epochs=2, rng=0, progress=False)
    >>> evaluate(model, test)["accuracy"] > 0.85
    True
    """
    check_model("fit", model)
    if not isinstance(epochs, (int, np.integer)) or epochs < 1:
        raise OptionError(f"fit: epochs = {epochs!r} is not a positive integer")
    if not (schedule is None or isinstance(schedule, Schedule) or callable(schedule)):
        raise OptionError(
            f"fit: schedule = {schedule!r} is neither a Schedule nor a function that makes one, "
            "such as tg.optim.OneCycleLR"
        )
    loader = as_loader(train, batch_size, rng)
    if resume is not None and isinstance(loader, Batches):
        raise OptionError(
            f"fit: resume= cannot repeat the order in which a {loader.source} goes through its examples; pass its data "
            "set, or a tg.data.DataLoader"
        )
    if isinstance(validation, (int, float)):
        raise OptionError(
            f"fit: validation = {validation!r} is a number; pass data, as in validation, train = train.split(500)"
        )
    validation = None if validation is None else make_loader(validation, 1000)
    parallel = Parallel.start(parallel)
    if parallel.size > 1:
        parallel.require_shares(loader, loss)
    axis, loss, measures = class_axis(loss), named_loss(loss), named_metrics(metrics)
    if measures and validation is None:
        raise OptionError("fit: metrics= measures validation data after each epoch; pass validation= too")
    optimizer = make_optimizer(optimizer, model)
    require_parameters(optimizer, model)
    training = Training(model, optimizer, epochs, len(loader), validation is not None)
    training.data, training.validation, training.loss_function = loader, validation, loss

    def forward(x: NDArray, y: NDArray) -> tuple[Array, Array]:
        output = model(x)
        value = loss(output, y)
        if value is None:
            raise OptionError("fit: the loss returned nothing; end it with `return ...`")
        if np.size(value) != 1:
            raise ShapeError(
                f"fit: the loss has shape {np.shape(value)}; it must be a scalar, such as a mean over the batch"
            )
        return value, output

    steps = epochs * len(loader)
    step = TrainingStep(
        forward,
        optimizer,
        compile=compile,
        steps=steps,
        has_aux=True,
        clip_norm=clip_norm,
        accumulate=accumulate,
        parallel=parallel,
    )
    if schedule is not None and not isinstance(schedule, Schedule):
        schedule = make_schedule(schedule, optimizer, epochs * -(-len(loader) // accumulate))
    if schedule is not None and schedule.optimizer is not optimizer:
        raise OptionError(
            "fit: the schedule changes the learning rate of another optimizer; pass that one as optimizer="
        )
    watching = [*_callbacks(callbacks), *([Progress()] if progress else [])]
    watching = [callback for callback in watching if not (parallel.rank and callback.only_watches)]

    started = time.monotonic()
    parts = Parts(training, step, schedule, watching, loader, loss, measures, parallel)
    is_alone = parallel.size == 1
    saving = None if resume is None and is_alone else Resumption(resume, checkpoint_every, parts)

    # Endings run last in, first out: those that change the model must come before those that save it.
    with ExitStack() as endings, np.errstate(all="ignore"):
        endings.enter_context(parallel.guard())
        if saving is not None:
            endings.enter_context(saving).load()
        if threads is not None or training.threads is None:
            training.threads = choose_threads(model, loader, threads, is_alone=is_alone)
        endings.enter_context(limit_threads(training.threads))
        for callback in sorted(watching, key=lambda callback: callback.changes_model):
            callback.on_start(training)
            endings.callback(callback.on_end, training)
        endings.callback(
            _finish, training, step, lambda: saving.total if saving else time.monotonic() - started
        )
        interrupted: dict[str, Any] = {}
        if saving is not None:
            interrupted = saving.load_callbacks()
            endings.callback(saving.finish)
        done = len(training.history)
        last = done if training.stop else epochs
        for training.epoch in range(done + 1, last + 1):
            now = Epoch(training, axis, interrupted, parallel)
            interrupted = {}
            model.train()
            batches = iter(loader) if saving is None else saving.batches(now.batch)
            for training.batch, (x, y) in enumerate(batches, now.batch + 1):
                count, weight = parallel.weigh(loader, training.batch)
                training.loss, output = step(x, y, weight=weight)
                if not math.isfinite(training.loss):
                    raise parallel.common(
                        undo_epoch(training, now.before, f"the loss became {training.loss}")
                    )
                if training.batch == len(loader):
                    step.finish()
                if schedule is not None and not schedule.needs_value and not step.gathered:
                    schedule.step()
                now.tally.add(training.loss, output, y, count)
                for callback in watching:
                    callback.on_batch(training)
                if saving is not None and saving.is_due and training.batch < len(loader):
                    saving.save(now.state_dict(training.batch))
            now.tally.join(parallel.gather(now.tally.share))
            parallel.share_buffers(model)
            row, bad = {**now.row, **now.tally.means("train_")}, ""
            if validation is None:
                # Without validation data, check at least that the last update left usable weights.
                outputs = leaves(predict(model, np.asarray(x)))
                if not all(parallel.gather(all(np.isfinite(a).all() for a in outputs))):
                    bad = "outputs became NaN or infinite after the last update"
            else:
                measured = parallel.share(
                    None if parallel.rank else _measure(model, validation, loss, axis, measures)
                )
                if not math.isfinite(measured["loss"]):
                    bad = f"the validation loss became {measured['loss']}"
                row.update((f"validation_{name}", measured[name]) for name in measured if name != "count")
            if bad:
                raise parallel.common(undo_epoch(training, now.before, bad))
            if schedule is not None and schedule.needs_value:
                cast(Any, schedule).step(row.get("validation_loss", row["train_loss"]))
            training.history.append(row)
            for callback in watching:
                callback.on_epoch(training)
            training.stop = parallel.require_equal(model, training.stop)
            if saving is not None:
                saving.save()
            if training.stop:
                break
    return training.history


@_explained
def evaluate(
    model: Module,
    data: Data,
    *,
    loss: Loss | str | None = None,
    metrics: Metrics | None = None,
    batch_size: int = 1000,
) -> dict[str, float]:
    """Measure a model on data.

    Parameters
    ----------
    model : Module
        The model; it is in ``eval()`` mode while it is measured.
    data : Dataset, DataLoader, or (inputs, targets)
    loss : callable or str, as for :func:`fit`
    metrics : dict of functions, or a function or several, optional
        Further measures by name, as in ``metrics={'f1': f1}``. Each is called once, with all targets and all outputs,
        as scikit-learn's are, and returns a number.
    batch_size : int, default 1000
        Ignored for a DataLoader.

    Returns
    -------
    dict
        ``loss``; ``accuracy`` if targets are classes; the metrics; ``count``, the number of samples.

    Notes
    -----
    The accuracy is the number of right positions, divided by the number of positions: targets may have any shape, as
    those of sequences (N, T) or of pixels (N, H, W). The classes are on the axis of the outputs that the shapes leave
    for them, as in (N, C), (N, T, C) or (N, C, H, W). If several fit, it is the axis that the loss uses: 1 for
    cross-entropy and ``nll_loss``, the last one for the others by name. For a loss of your own, the accuracy is then
    left out, as it is for targets that cannot be classes and for models with several outputs.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> model, x, y = tg.nn.MLP([2, 3, 2], rng=0), np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> sorted(evaluate(model, (x, y), metrics={"sum": lambda targets, outputs: targets.sum()}))
    ['accuracy', 'count', 'loss', 'sum']
    """
    check_model("evaluate", model)
    loader = make_loader(data, batch_size)
    return _measure(model, loader, named_loss(loss), class_axis(loss), named_metrics(metrics))


def _measure(
    model: Module, loader: DataLoader, loss: Loss, axis: int | None, metrics: Mapping[str, Metric]
) -> dict[str, float]:
    """Measure a model, whose loss has the classes on an axis."""
    tally, gathered = Tally(axis), []
    with evaluating(model), no_grad():
        for x, y in loader:
            output = model(x)
            tally.add(float(loss(output, y)), output, y)
            if metrics:
                gathered.append((y, plain(output)))
    measured = measure(metrics, *join(gathered)) if metrics else {}
    return {**tally.means(), **measured, "count": tally.count}


def predict(model: Module, data: Data | NDArray, *, batch_size: int = 1000) -> Any:
    """Compute a model's outputs, without recording, as one plain array.

    Parameters
    ----------
    model : Module
    data : array or nested list, shape (N, …), or as for :func:`evaluate`
        Targets, if there are any, are ignored.
    batch_size : int, default 1000

    Returns
    -------
    ndarray, shape (N, …)
        Or a tuple, list or dict of them, as the model returns it.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> train, test = tg.data.load_mnist("sample")
    >>> outputs = predict(tg.nn.MLP([784, 10], rng=0), test)
    >>> type(outputs).__name__, outputs.shape
    ('ndarray', (1000, 10))
    """
    check_model("predict", model)
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise OptionError(f"predict: batch_size is {batch_size!r}; it must be a positive integer")
    data = adopt(data)
    if isinstance(data, DataLoader):
        batches: Iterable[NDArray] = (x for x, _ in data)
    else:
        inputs = (
            data
            if isinstance(data, Dataset)
            else Dataset(*(data if isinstance(data, tuple) else (data, data)))
        )
        batches = (inputs[i : i + batch_size][0] for i in range(0, max(len(inputs), 1), batch_size))
    with evaluating(model), no_grad():
        return join([plain(model(x)) for x in batches])


def as_loader(data: Data, batch_size: int, rng: np.random.Generator | int | None) -> DataLoader:
    """Make a loader that shuffles, unless the data are one."""
    return make_loader(data, batch_size, shuffle=True, rng=rng)


def _callbacks(callbacks: Callback | Iterable[Callback]) -> list[Callback]:
    given: Any = [callbacks] if isinstance(callbacks, str) else callbacks
    found: list[Any] = list(given) if isinstance(given, Iterable) else [given]
    for callback in found:
        if isinstance(callback, type):
            raise OptionError(
                f"fit: got the class {callback.__name__}; pass an object, as in callbacks={callback.__name__}()"
            )
        if not isinstance(callback, Callback):
            raise OptionError(
                f"fit: {callback!r} is not a Callback; derive a class from tg.training.Callback, and override its "
                "on_batch(self, training) or on_epoch(self, training)"
            )
    return found


def _finish(training: Training, step: TrainingStep, seconds: Callable[[], float]) -> None:
    """Leave the model ready for use, and record how training went."""
    training.model.eval()
    training.history.seconds = seconds()
    training.history.backend = step.backend
    training.history.threads = training.threads or count_threads()
    training.history.stopped = training.stop
