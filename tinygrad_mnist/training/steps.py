"""One update of a model per call: by the function itself, its NumPy program, or machine code."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..compiler import Compiled, compile
from ..compiler.program import inputs_of
from ..errors import GradientError, MissingExtraError, OptionError, choice
from ..optim import Optimizer, clip_grad_norm_
from ..tensor import Tensor
from ..typing import Array
from .parallel import Parallel

__all__ = ["COMPILE", "TrainingStep", "Work", "repays", "require_backend", "work_of"]

#: The back ends that can be chosen by name; False means none of them, and True means "numpy".
COMPILE = ("auto", "numpy", "numba")

#: Machine code saves time for each NumPy call that it avoids, for each byte of parameters, optimizer state and
#: buffers, because it passes over them fewer times, and for each byte that convolutions and pools read and write. All
#: values are in seconds, on a machine with 2 cores. The first two are the lower ends for networks of 2 to 50 layers;
#: the last is an eighth of what the benchmark's LeNet saved on a busy machine.
SAVED_BY_OPERATION, SAVED_BY_BYTE, SAVED_BY_KERNELS_BYTE = 0.4e-6, 0.03e-9, 0.1e-9
#: Making it costs time: a fixed part, a part for each kind of operation (repeated layers are compiled once), and a
#: part for each convolution or pool, whose loops the optimizer goes through again. The first call took so much longer
#: than that of the NumPy program, in CPU-seconds on a busy machine: perceptrons of 3 to 22 layers 1.0 to 1.4, a GRU
#: 2.3, a GPT 4.8, the benchmark's LeNet 7.3 and residual block 8.5, the model small-cnn 12.1. Idle machines take about
#: four fifths, as these values do.
TO_BEGIN, TO_MAKE_A_KIND, TO_MAKE_A_KERNEL = 0.2, 0.02, 0.7

#: Machine code must save this many times its compile time, because a training may end early.
WORTHWHILE = 2


class Work(NamedTuple):
    """What a step does.

    Attributes
    ----------
    operations : int
        The number of operations in its NumPy program.
    memory : int
        The bytes of the parameters, the optimizer's state and the program's buffers.
    kinds : int
        The number of different operations: those with the same function and the same shapes are of one kind.
    kernels : int
        How many of them are convolutions, pools and the like.
    moved : int
        The bytes that these read and write.
    """

    operations: int
    memory: int
    kinds: int
    kernels: int = 0
    moved: int = 0


def work_of(compiled: Compiled[..., Any]) -> Work:
    """Look at the program that ran last."""
    arrays = [array.nbytes for array in compiled.arrays.values() if isinstance(array, np.ndarray)]
    ops = [op for op in compiled.program.ops if not (op.is_given or op.is_view or op.is_number)]
    shapes = {op: tuple(arg.shape for arg in inputs_of(op)) for op in ops}
    kernels = [op for op in ops if op.instruction.machine == "kernel"]
    return Work(
        compiled.stats.operations,
        compiled.stats.bytes + sum(arrays),
        len({(op.instruction.name, op.shape, shapes[op]) for op in ops}),
        len(kernels),
        sum(x.nbytes for op in kernels for x in (op, *inputs_of(op))),
    )


def repays(steps: int, work: Work) -> bool:
    """Whether this many steps make up for the time it takes to compile machine code.

    This is computed, not measured: the same training runs in the same way every time.

    Examples
    --------
    >>> repays(60_000, Work(37, 5_900_000, kinds=33)), repays(4_460, Work(42, 1_800_000, kinds=40))
    (True, False)
    """
    saved = (
        SAVED_BY_OPERATION * work.operations
        + SAVED_BY_BYTE * work.memory
        + SAVED_BY_KERNELS_BYTE * work.moved
    )
    made = TO_BEGIN + TO_MAKE_A_KIND * work.kinds + TO_MAKE_A_KERNEL * work.kernels
    return steps * saved > WORTHWHILE * made


def require_backend(asked: bool | str) -> None:
    """Check that the requested back end exists and is installed.

    Raises
    ------
    OptionError
        If there is no such back end.
    MissingExtraError
        If machine code is requested, but numba is not installed.
    """
    if not (isinstance(asked, bool) or (isinstance(asked, str) and asked in COMPILE)):
        raise choice("compile", asked, ["False", "True", *COMPILE])
    if asked == "numba":
        compile(require_backend, backend=asked)


class TrainingStep:
    """A function of a batch that updates the parameters and returns the loss as a number.

    Parameters
    ----------
    function : callable
        It returns the loss of a batch, a scalar, or with ``has_aux`` a pair ``(loss, aux)``.
    optimizer : Optimizer
    compile : {False, True, 'numpy', 'numba', 'auto'}
        Whether to call the function itself; or its NumPy program (True means ``'numpy'``); or machine code
        (``pip install 'tinygrad-mnist[fast]'``), which takes some seconds to compile. ``'auto'`` uses the NumPy
        program for the first step, and then machine code if numba is installed and ``steps`` make up for the
        time to compile it (see the source of ``training/steps.py``); the choice does not
        depend on measured times.
    steps : int
        The expected number of calls; only ``'auto'`` uses it.
    has_aux : bool, default False
    clip_norm : float, optional
        Limit for the joint norm of the gradients.
    accumulate : int, default 1
        How many calls add up their gradients before the parameters are updated with the mean.
    parallel : Parallel, optional
        The processes that train together: each call adds up over all of them.

    Attributes
    ----------
    gathered : int
        How many calls since the last update; 0 if the last one updated the parameters.
    asked : str or False
        The choice by ``compile``.
    backend : str
        What runs: ``'eager'`` (the function itself), ``'numpy'`` or ``'numba'``.

    Raises
    ------
    OptionError, MissingExtraError
        If there is no such back end, or if its packages are missing.

    Notes
    -----
    Machine code is compiled for batches with the shape of the first; others, such as a smaller last one, run
    with the NumPy program. If the loss is not finite, the weights do not change, unless the step is compiled.

    Examples
    --------
    >>> import tinygrad_mnist as tg
    >>> w = tg.nn.Parameter(np.ones(3, np.float32))
    >>> step = TrainingStep(lambda x: np.sum((w * x) ** 2), tg.optim.SGD([w], lr=0.1), compile=True, steps=2)
    >>> x = np.array([1, 2, 3], np.float32)
    >>> step(x) > step(x), step.backend
    (True, 'numpy')
    """

    def __init__(
        self,
        function: Callable[..., Any],
        optimizer: Optimizer,
        *,
        compile: bool | str = "auto",
        steps: int = 0,
        has_aux: bool = False,
        clip_norm: float | None = None,
        accumulate: int = 1,
        parallel: Parallel | None = None,
    ) -> None:
        require_backend(compile)
        if not isinstance(accumulate, (int, np.integer)) or accumulate < 1:
            raise OptionError(f"accumulate = {accumulate!r} is not a positive number of batches")
        self.function, self.optimizer = function, optimizer
        self.accumulate, self.gathered = accumulate, 0
        self.parallel = parallel or Parallel()
        self._sums = _Sums(optimizer) if accumulate > 1 or self.parallel.size > 1 else None
        self.has_aux, self.clip_norm, self.steps = has_aux, clip_norm, steps
        self.asked = "numpy" if compile is True else compile
        self._shape: tuple[int, ...] | None = None  # of the first argument, for machine code
        self._machine: Callable[..., Any] | None = None
        self._plain: Callable[..., Any] = self._update
        self.backend = "eager"
        if self.asked:
            self._plain, self.backend = self._compile("numpy"), "numpy"
        if self.asked == "numba":
            self._machine, self.backend = self._first_call(self._compile("numba")), "numba"

    def __call__(self, *args: Any, weight: float = 1.0) -> Any:
        """Update the parameters; return the loss, or the loss and the rest.

        Parameters
        ----------
        *args
            A batch, or this process's share of it.
        weight : float, default 1
            How much the mean over the share counts in the mean over the batch.
        """
        if self._sums is not None:
            self._sums.param_groups[0]["lr"] = weight
        if self._shape is None:
            self._shape = np.shape(args[0])
            result = (self._machine or self._plain)(*args)
            if self.asked == "auto":
                self._choose()
        elif self._machine is not None and args[0].shape == self._shape:
            result = self._machine(*args)
        else:
            result = self._plain(*args)
        loss = (result[0] if self.has_aux else result).item()
        if self._sums is not None:
            loss = self._gather(loss * weight)
        return (loss, result[1]) if self.has_aux else loss

    def _gather(self, loss: float) -> float:
        """Count a call, and update the parameters if it is time; return the sum of the losses of all processes."""
        if self.parallel.size == 1 and not math.isfinite(loss):
            return loss
        self.gathered += 1
        if self.gathered == self.accumulate:
            return self.finish(loss)
        return self.parallel.add([loss], [])[0][0]

    def finish(self, loss: float = 0.0) -> float:
        """Update the parameters with the mean of the gradients that were added up so far, if any.

        Returns
        -------
        float
            The sum of the losses of all processes; if it is not finite, the parameters are not updated.
        """
        if self._sums is None or not self.gathered:
            return loss
        loss = self._sums.hand_over(self.gathered, self.parallel, loss)
        self.gathered = 0
        if math.isfinite(loss):
            self._clip()
            self.optimizer.step()
        self.optimizer.zero_grad()
        self._sums.forget()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """What the first step chose (for which shape of a batch, and what runs since then), and what was added up."""
        sums = {} if self._sums is None else {"gathered": self.gathered, "sums": self._sums.state_dict()}
        return {"shape": self._shape, "backend": self.backend, **sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what another training chose, before the first step of this one.

        Raises
        ------
        MissingExtraError
            If it ran as machine code, but numba is not installed here: a NumPy program rounds differently.
        """
        self._shape = state["shape"]
        if self._sums is not None and "sums" in state:
            self._sums.load_state_dict(state["sums"])
            self.gathered = state["gathered"]
            if self.parallel.rank:  # the first process has what was added up until then
                self._sums.forget()
        if self.asked == "auto" and state["backend"] == "numba":
            self._machine, self.backend = self._first_call(self._compile("numba")), "numba"

    def _update(self, *args: Any) -> Any:
        """Do a step without a program."""
        self.optimizer.zero_grad()
        result = self.function(*args)
        loss = result[0] if self.has_aux else result
        if not isinstance(loss, Tensor):
            raise GradientError(
                f"fit: the loss is a {type(loss).__name__}, not a Tensor, so it has no gradient; compute it from the "
                "model's outputs with NumPy's functions, and without float(...), .item(), .data or .numpy() on the way"
            )
        if np.size(loss) != 1 or math.isfinite(loss.item()):  # backward refuses several numbers in words
            loss.backward()
            if self._sums is not None:
                self._sums.step()
            else:
                self._clip()
                self.optimizer.step()
        return result

    def _clip(self) -> None:
        if self.clip_norm is not None:
            clip_grad_norm_(
                [p for group in self.optimizer.param_groups for p in group["params"]], self.clip_norm
            )

    def _compile(self, backend: str) -> Compiled[..., Any]:
        return compile(
            self.function,
            optimizer=self._sums or self.optimizer,
            has_aux=self.has_aux,
            clip_norm=None if self._sums else self.clip_norm,
            backend=backend,
        )

    def _choose(self) -> None:
        """Use machine code from the second step on, if it is available and worth its compile time."""
        program = self._plain
        assert isinstance(program, Compiled)
        if not repays(self.steps - 1, work_of(program)):
            return
        try:
            machine = self._compile("numba")
        except MissingExtraError:
            return
        self._machine, self.backend = self._first_call(machine), "numba"

    def _first_call(self, machine: Compiled[..., Any]) -> Callable[..., Any]:
        """Return a function whose first call compiles the machine code and checks whether that worked."""

        def call(*args: Any) -> Any:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                result = machine(*args)
            self._machine = machine
            for warning in said:
                if str(warning.message).startswith("compile: there is no machine code"):
                    self._machine, self.backend = None, "numpy"
                    if self.asked == "auto":  # machine code was not requested explicitly
                        continue
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
            return result

        return call


class _Sums(Optimizer):
    """Adds up gradients instead of updating parameters: a formula like others, so that programs do it too."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__([p for group in optimizer.param_groups for p in group["params"]], lr=1.0)

    @staticmethod
    def memory(settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The sum."""
        return ("sum",)

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Any], *, lr: float) -> tuple[Array, dict[str, Any]]:
        """``sum = sum + lr * g``, where the rate is the weight of the gradient."""
        state["sum"] += lr * g
        return p, state

    @staticmethod
    def of_rows(settings: Mapping[str, Any]) -> bool | None:
        """Refuse sparse gradients: an optimizer that leaves rows as they are could not tell which, from the sums."""
        raise OptionError(
            "fit: accumulate= and parallel= add up whole gradients, and that of an embedding with sparse=True is not; "
            "use larger batches, or make the embedding without sparse=True"
        )

    def hand_over(self, count: int, parallel: Parallel, loss: float) -> float:
        """Make the mean of so many gradients that of each parameter that had any; return the loss.

        The gradients and the loss are sums over all processes.
        """
        params = [p for p in self.param_groups[0]["params"] if p.requires_grad]
        states = [self.state.get(p) or {"step": 0, "sum": np.zeros_like(p.data)} for p in params]
        steps = [state["step"] for state in states]
        (loss, *steps), sums = parallel.add([loss, *steps], [state["sum"] for state in states])
        for p, total, taken in zip(params, sums, steps, strict=True):
            if taken:
                p.grad = Tensor((total if count == 1 else total / count).astype(p.dtype, copy=False))
        return loss

    def forget(self) -> None:
        """Begin again at zero."""
        for state in self.state.values():
            state["sum"][...] = 0
            state["step"] = 0
