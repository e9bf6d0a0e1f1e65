"""Recurrent layers: sequences in, sequences out. Names, shapes and states are PyTorch's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from ...errors import OptionError, ShapeError, choice
from ...operands import generator
from ...ops import recurrence
from ...typing import Array
from .. import functional as F  # noqa: N812
from .. import init
from ..module import Module, Parameter
from .arguments import numbers, positive, probability

__all__ = ["GRU", "LSTM", "RNN"]


class _Recurrent(Module):
    """What recurrent layers have in common: layers above each other, in one direction or two.

    A subclass says how many gates it has and how many states, and scans one layer in one direction.
    """

    _gates: ClassVar[int]
    _states: ClassVar[int] = 1
    weight_ih_l0: Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        name = type(self).__name__
        self.input_size, self.hidden_size, self.num_layers = positive(
            name, (input_size, hidden_size, num_layers)
        )
        if dropout and num_layers == 1:
            raise OptionError(
                f"{name}: dropout={dropout!r} drops between layers, and there is one; "
                "set num_layers, or put an nn.Dropout after it"
            )
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout, self.rng = probability(name, "dropout", dropout), generator(rng)
        bound, rows = self.hidden_size**-0.5, self._gates * self.hidden_size
        for end, inputs in self._directions():
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, inputs),
                "weight_hh": (rows, hidden_size),
            }
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for kind, shape in shapes.items():
                drawn = init.uniform(shape, -bound, bound, rng=self.rng)
                setattr(self, kind + end, Parameter(drawn, dtype=dtype))

    def _directions(self) -> Iterator[tuple[str, int]]:
        """The end of the parameters' names, and the length of the input, for each layer and direction."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        for i in range(self.num_layers):
            for way in ways:
                yield f"_l{i}{way}", len(ways) * self.hidden_size if i else self.input_size

    def forward(self, input: Array, hx: Any = None) -> tuple[Array, Any]:
        """Run through sequences.

        Parameters
        ----------
        input : shape (L, N, input_size), or (N, L, input_size) if batch_first, or (L, input_size)
            N sequences of L steps, or a single sequence.
        hx : Array, or a pair of them for an LSTM, shape (layers * directions, N, hidden_size), optional
            The states before the first step; zeros by default.

        Returns
        -------
        output : shape (L, N, directions * hidden_size)
            The states of the last layer after each step; its axes are ordered as those of the input.
        h_n, or (h_n, c_n) : shape (layers * directions, N, hidden_size)
            The states of each layer after its last step.
        """
        x: Any = numbers(input, self.weight_ih_l0.dtype)
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size or 0 in x.shape[:-1]:
            batch = "N, L" if self.batch_first else "L, N"
            raise ShapeError(
                f"expects sequences of shape ({batch}, {self.input_size}) or (L, {self.input_size}), got {x.shape}"
            )
        is_single = x.ndim == 2
        x = x[:, None] if is_single else np.swapaxes(x, 0, 1) if self.batch_first else x
        starts, ends = self._starts(x, hx, is_single), []
        ways = 1 + self.bidirectional
        for i in range(self.num_layers):
            if i and self.dropout:
                x = F.dropout(x, self.dropout, rng=self.rng, training=self.training)
            found = [self._run(x, j, [s[j] for s in starts]) for j in range(i * ways, (i + 1) * ways)]
            x = found[0][0] if ways == 1 else np.concatenate([output for output, _ in found], axis=-1)
            ends += [states for _, states in found]
        last = [np.stack(states) for states in zip(*ends, strict=True)]
        if is_single:
            x, last = x[:, 0], [s[:, 0] for s in last]
        elif self.batch_first:
            x = np.swapaxes(x, 0, 1)
        return x, tuple(last) if self._states > 1 else last[0]

    def _starts(self, x: Array, hx: Any, is_single: bool) -> list[Array]:
        """The states before the first step, checked; zeros if none are given."""
        shape = ((1 + self.bidirectional) * self.num_layers, x.shape[1], self.hidden_size)
        if hx is None:
            return [np.zeros(shape, self.weight_ih_l0.dtype)] * self._states
        wanted = (shape[0], shape[2]) if is_single else shape
        given = hx if self._states > 1 else (hx,)
        if not isinstance(given, (tuple, list)) or [np.shape(s) for s in given] != [wanted] * self._states:
            found = (
                [np.shape(s) for s in given]
                if isinstance(given, (tuple, list))
                else f"one of {np.shape(given)}"
            )
            raise ShapeError(
                f"expects {'a pair of states (h, c), each' if self._states > 1 else 'a state'} of shape {wanted}, got "
                f"{found}"
            )
        return [np.expand_dims(s, 1) if is_single else s for s in given]

    def _run(self, x: Array, number: int, states: list[Array]) -> tuple[Array, list[Array]]:
        """Run one layer in one direction: the outputs in the order of the input, and the last states."""
        end = [end for end, _ in self._directions()][number]
        weights = (
            getattr(self, kind + end, None) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        is_reverse = end.endswith("_reverse")
        found = self._scan(x[::-1] if is_reverse else x, states, *weights)
        return found[0][::-1] if is_reverse else found[0], [states[-1] for states in found]

    @abstractmethod
    def _scan(self, x: Array, states: list[Array], *weights: Any) -> tuple[Array, ...]:
        """The states after each step of one layer in one direction; those that it returns come first."""


class RNN(_Recurrent):
    """A recurrent layer, ``h = tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)`` [1]_.

    Parameters
    ----------
    input_size, hidden_size : int
        The number of features of each step, and of the state.
    num_layers : int, default 1
        Layers above each other; each gets the states of the one below as its input.
    nonlinearity : {'tanh', 'relu'}
    bias : bool, default True
    batch_first : bool, default False
        Whether sequences are ``(N, L, features)`` instead of ``(L, N, features)``. States are not affected.
    dropout : float in [0, 1), default 0
        Dropout between the layers.
    bidirectional : bool, default False
        Whether another layer runs from the last step to the first; the states of both are joined.
    rng : numpy.random.Generator or seed
        Source of the weights, drawn from U(±1/√hidden_size), and of the dropout.
    dtype : dtype, default float32

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).

    Examples
    --------
    >>> layer = RNN(3, 5, batch_first=True, rng=0)
    >>> output, h = layer(np.zeros((2, 7, 3), np.float32))
    >>> output.shape, h.shape
    ((2, 7, 5), (1, 2, 5))
    """

    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            rng=rng,
            dtype=dtype,
        )

    def _scan(self, x: Array, states: list[Array], *weights: Any) -> tuple[Array, ...]:
        w_ih, w_hh, b_ih, b_hh = weights
        x = _inputs(x, w_ih, b_ih + b_hh if self.bias else None)
        return (recurrence.rnn(x, states[0], w_hh, self.nonlinearity),)


class LSTM(_Recurrent):
    """Long short-term memory [1]_; see ``ops.recurrence.lstm`` for its formulas.

    Parameters are those of :class:`RNN`, except for the nonlinearity. Its state is a pair ``(h, c)``.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997).

    Examples
    --------
    >>> layer = LSTM(3, 5, num_layers=2, rng=0)
    >>> output, (h, c) = layer(np.zeros((7, 2, 3), np.float32))
    >>> output.shape, h.shape, c.shape
    ((7, 2, 5), (2, 2, 5), (2, 2, 5))
    """

    _gates, _states = 4, 2

    def _scan(self, x: Array, states: list[Array], *weights: Any) -> tuple[Array, ...]:
        w_ih, w_hh, b_ih, b_hh = weights
        x = _inputs(x, w_ih, b_ih + b_hh if self.bias else None)
        return recurrence.lstm(x, states[0], states[1], w_hh)


class GRU(_Recurrent):
    """Gated recurrent units [1]_; see ``ops.recurrence.gru`` for their formulas.

    Parameters are those of :class:`RNN`, except for the nonlinearity.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
       translation", EMNLP 2014.

    Examples
    --------
    >>> layer = GRU(3, 5, bidirectional=True, rng=0)
    >>> output, h = layer(np.zeros((7, 2, 3), np.float32))
    >>> output.shape, h.shape
    ((7, 2, 10), (2, 2, 5))
    """

    _gates = 3

    def _scan(self, x: Array, states: list[Array], *weights: Any) -> tuple[Array, ...]:
        w_ih, w_hh, b_ih, b_hh = weights
        bias = b_hh if self.bias else np.zeros(3 * self.hidden_size, w_hh.dtype)
        return (recurrence.gru(_inputs(x, w_ih, b_ih), states[0], w_hh, bias),)


def _inputs(x: Array, weight: Array, bias: Array | None) -> Array:
    """What the inputs contribute to all steps, in one product: for three axes, NumPy would make one for each step."""
    steps, batch, size = x.shape
    return np.reshape(F.linear(np.reshape(x, (steps * batch, size)), weight, bias), (steps, batch, -1))
