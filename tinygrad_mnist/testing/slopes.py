"""Slopes by finite differences, and their verdict on a rule: right, wrong, or near a kink.

No step fits all numbers: 1e-6 is tiny compared with 1e12, and huge compared with 1e-9. If a first step does
not agree with a rule, a ladder of steps is tried, each an eighth of the one before, and the slope is read
where neighbouring steps agree best. The agreement also says how far the slope can be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import fit
from ..typing import NDArray

__all__ = ["Judgement", "Slopes"]

# Arrays up to this size are moved element by element. Larger ones are moved in groups, which are bisected
# until elements are found whose slope differs from the rule.
SMALL = 200
# The number of elements that are examined closely: found by bisection, or all at once.
FEW, MANY = 20, 10_000

# The end of docs/checking_gradients.md explains these numbers.
_ROUNDING = 4 * float(np.finfo(float).eps)  # the accuracy of a result, relative to its size
_FACTOR = 8.0  # from one step to the next
_LONGEST, _SHORTEST = 0.03, 5e-13  # the steps of a ladder, relative to the numbers
_BENT = 1e-3  # slopes to the left and right that differ by this share are those of a kink
_SETTLED = 0.1  # a slope that neighbouring steps change by a larger share has not settled
_SINGULAR = 100  # slopes that grow by this factor as the steps become shorter grow without end
_BETWEEN = 0.25  # how far beyond the slopes that were met nearby other slopes may lie


class Judgement(NamedTuple):
    """The verdict of finite differences on the slope for one element: ``"wrong"``, ``"kink"`` or ``"unsettled"``."""

    verdict: str
    element: tuple[int, ...]
    by_rule: float
    by_differences: float
    step: float


class Slopes:
    """The change of an operation's results, mixed into one number, with one of its arrays.

    Parameters
    ----------
    results : callable
        ``results(x)`` returns the results for another array.
    weights : sequence of ndarrays
        The weight of each element of each result in the mixture; those of weight 0 are skipped.
    x : ndarray of float64 or complex128
    slope_of : callable
        ``slope_of(x)`` returns the gradient of the mixture with respect to ``x``, according to the rule.
    unit : 1 or 1j
        The direction in which elements are moved.
    is_elementwise : bool
        Whether elements of the result depend only on the elements at their own places; then all elements
        are moved at once, however many there are.
    """

    def __init__(
        self,
        results: Callable[[NDArray], Sequence[NDArray]],
        weights: Sequence[NDArray],
        x: NDArray,
        slope_of: Callable[[NDArray], NDArray],
        *,
        unit: complex = 1,
        is_elementwise: bool = False,
        eps: float = 1e-6,
        atol: float = 1e-6,
        rtol: float = 1e-4,
    ) -> None:
        self.results, self.weights, self.x, self.unit = results, weights, x, unit
        self.is_elementwise, self.eps, self.rtol = is_elementwise, eps, rtol
        self.slope_of, self._atol = slope_of, atol
        self.rule = np.real(slope_of(x) * unit).reshape(-1)
        finite = np.abs(self.rule[np.isfinite(self.rule)])
        self.atol = atol * min(1.0, float(finite.max(initial=0)))
        self.size = np.abs(x).reshape(-1)
        self.here = self._mix(x)
        self.touched: dict[int, list[NDArray]] = {}  # the results that depend on an element, if known
        self.worst = 0.0
        self.overlooked = 0

    def judge(self, rng: np.random.Generator) -> Iterator[Judgement]:
        """Judge the rule for every element; yield nothing where it is right."""
        movable = np.flatnonzero(np.isfinite(self.size))
        if not movable.size:
            return
        if self.is_elementwise or movable.size <= SMALL:
            suspects, most = movable[~self._agree(movable)], MANY
        else:
            suspects, most = self._bisect(movable, rng), FEW
            if (
                suspects.size > most
            ):  # perhaps kinks that hide mistakes; a small step away there are few of them
                beside = self._step_aside(rng)._bisect(movable, rng)[:most]
                suspects, most, self.overlooked = np.union1d(beside, suspects[:most]), 2 * most, 1
        if suspects.size > most:
            self.overlooked = suspects.size - most
            suspects = rng.permutation(suspects)[:most]
        if not suspects.size:
            return
        steps = self._first_step(suspects)
        wide, narrow = self._sides(suspects, steps), self._sides(suspects, steps / _FACTOR)
        for k, (i, ladder) in enumerate(zip(suspects, self._climb(suspects), strict=True)):
            a = float(self.rule[i])
            verdict, slope, step = ladder.verdict(a, self.atol, self.rtol, steps[k])
            if verdict == "wrong" and self._is_shared(int(i), slope):
                continue
            if verdict == "beyond":
                verdict = "kink" if self._is_found_nearby(int(i), rng) else "wrong"
            if np.isnan(a) and any((w == 0).any() for w in self.weights):
                verdict = "unsettled"
            if verdict == "right" and _is_bent(wide[:, k], narrow[:, k], self.atol):
                verdict = "kink"
            if verdict == "right":
                self.worst = max(self.worst, abs(a - slope) / max(1.0, abs(slope)))
                continue
            if verdict != "wrong":
                slope, step = float(wide[2, k]), float(steps[k])
            yield Judgement(verdict, tuple(map(int, np.unravel_index(i, self.x.shape))), a, slope, step)

    def _step_aside(self, rng: np.random.Generator) -> Slopes:
        """The same, with all elements moved a little."""
        x = self.x + rng.uniform(-1e-3, 1e-3, self.x.shape) * np.maximum(1, np.abs(self.x))
        return Slopes(
            self.results, self.weights, x, self.slope_of, unit=self.unit, is_elementwise=self.is_elementwise,
            eps=self.eps, atol=self._atol, rtol=self.rtol,
        )  # fmt: skip

    # -- looking for suspects --------------------------------------------------------------------

    def _agree(self, where: NDArray) -> NDArray:
        """Whether a first step agrees with the rule, and the slopes of both sides with each other."""
        left, right, slope, _ = self._sides(where, self._first_step(where))
        error = np.abs(self.rule[where] - slope)
        agree: NDArray = error <= self.atol + self.rtol * np.abs(slope)  # written so that NaN does not agree
        agree &= np.abs(right - left) <= 10 * self.atol + _BENT * np.maximum(np.abs(left), np.abs(right))
        self.worst = max(self.worst, float((error / np.maximum(1, np.abs(slope)))[agree].max(initial=0)))
        return agree

    def _first_step(self, where: Any) -> Any:
        return self.eps * np.maximum(1, self.size[where])

    def _bisect(self, movable: NDArray, rng: np.random.Generator) -> NDArray:
        """Move many elements together, and bisect the groups for which the rule does not hold, the worse half first."""
        steps = np.zeros(self.x.size)
        steps[movable] = rng.uniform(0.9, 1.1, movable.size) * rng.choice([-1, 1], movable.size)
        steps *= self._first_step(np.arange(self.x.size)) / 100  # short steps cross few kinks
        noise = 2 * _ROUNDING * math.sqrt(sum(float(np.sum(part**2)) for part in self.here))

        def excess(group: NDArray) -> float:
            above, up = self._move(group, steps[group])
            below, down = self._move(group, -steps[group])
            expected = self.rule[group] * (up - down)
            error = abs(self._gain(above, below, group)[0] - math.fsum(expected))
            tolerance = self.rtol * np.abs(expected).max() + self.atol * np.abs(up - down).max() + noise
            return float(np.nan_to_num(error - tolerance, nan=np.inf))

        found: list[int] = []
        groups = [movable] if excess(movable) > 0 else []
        while groups and len(found) <= FEW:
            group = groups.pop()
            if group.size == 1:
                found.append(int(group[0]))
                continue
            halves = [(excess(half), k, half) for k, half in enumerate(np.array_split(group, 2))]
            groups += [
                half for surplus, _, half in sorted(halves, key=lambda entry: entry[:2]) if surplus > 0
            ]
        return np.array(found, int)

    # -- a closer look ---------------------------------------------------------------------------

    def _climb(self, where: NDArray) -> Iterator[Ladder]:
        """Compute the slopes for some elements, with steps from long to short."""
        size = self.size[where]
        low = np.maximum(_SHORTEST * np.where(size > 0, np.minimum(size, 1), 1), 1e-300)
        top = size if self.is_elementwise else np.full(size.shape, self.size[np.isfinite(self.size)].max())
        high = _LONGEST * np.maximum(1, top)
        if not self.is_elementwise:
            for i, step in zip(where, high, strict=True):
                self.touched[i] = self._find_touched(i, self._first_step(i)) or self._find_touched(i, step)
        count = 3 + math.ceil(math.log(np.max(high / low)) / math.log(_FACTOR))
        steps = high * (low / high) ** np.linspace(0, 1, count)[:, None]
        rungs = np.array([self._sides(where, step) for step in steps])
        for k in range(where.size):
            left, right, across, noise = rungs[:, :, k].T
            yield Ladder(steps[:, k], left, right, across, noise, max(1.0, float(size[k])))

    def _find_touched(self, i: int, step: float) -> list[NDArray]:
        """The results that a step of one element changes; empty if it changes none."""
        above, _ = self._move(np.array([i]), np.array([step]))
        changed = [a != h for a, h in zip(above, self.here, strict=True)]
        return changed if any(c.any() for c in changed) else []

    def _is_shared(self, i: int, slope: float) -> bool:
        """Whether only one of two opposite elements of a symmetric matrix is read, and both get half its slope."""
        x = self.x
        if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
            return False
        if not np.allclose(x, np.conj(np.swapaxes(x, -1, -2)), rtol=0, atol=1e-6 * np.max(self.size)):
            return False
        *batch, row, column = np.unravel_index(i, x.shape)
        opposite = int(np.ravel_multi_index((*batch, column, row), x.shape))
        other = next(self._climb(np.array([opposite]))).settle("across").slope
        sign = 1 if self.unit == 1 else -1
        half, leeway = (slope + sign * other) / 2, self.atol + 10 * self.rtol * max(abs(slope), abs(other))
        a, b = self.rule[i], sign * self.rule[opposite]
        return 0 in (slope, other) and max(abs(a - half), abs(b - half)) <= leeway

    def _is_found_nearby(self, i: int, rng: np.random.Generator) -> bool:
        """Whether the rule's slope at a kink occurs around it, for example if a sort has many ties."""
        where, spread = np.array([i]), self._first_step(np.arange(self.x.size)).reshape(self.x.shape)
        unit = np.zeros(self.x.shape)
        unit.flat[i] = spread.flat[i] / 1000
        nearby = []
        for _ in range(20):
            x = self.x + rng.uniform(-1, 1, self.x.shape) * spread
            above, below = (self._mix(x + sign * self.unit * unit) for sign in (1, -1))
            nearby.append(float(self._gain(above, below, where)[0]) / (2 * unit.flat[i]))
        low, high = min(nearby), max(nearby)
        is_one_of_many = (
            np.ptp(nearby) > 0 and np.unique(np.round(np.array(nearby) / np.ptp(nearby), 3)).size > 3
        )
        leeway = self.atol + (_BETWEEN if is_one_of_many else _BENT) * max(abs(low), abs(high))
        return bool(low - leeway <= self.rule[i] <= high + leeway)

    # -- moving elements -------------------------------------------------------------------------

    def _sides(self, where: NDArray, steps: NDArray) -> NDArray:
        """The slopes to the left and to the right of elements and across them, and their rounding errors."""
        if not self.is_elementwise and where.size > 1:
            each = [self._sides(where[k : k + 1], steps[k : k + 1]) for k in range(where.size)]
            return np.concatenate(each, axis=1)
        above, up = self._move(where, steps)
        below, down = self._move(where, -steps)
        rise, fall = self._gain(above, self.here, where), self._gain(self.here, below, where)
        noise = _ROUNDING * self._reach(above, below, where) / steps
        return np.array([fall / -down, rise / up, (rise + fall) / (up - down), noise])

    def _move(self, where: NDArray, steps: NDArray) -> tuple[list[NDArray], NDArray]:
        """The mixed results after elements were moved, and the exact distances."""
        x = self.x.copy()
        x.flat[where] += self.unit * steps
        return self._mix(x), np.real((x.flat[where] - self.x.flat[where]) / self.unit)

    def _mix(self, x: NDArray) -> list[NDArray]:
        try:
            results = self.results(x)
        except (ArithmeticError, ValueError):  # x lies outside of the operation's domain
            return [np.full(w.shape, np.nan) for w in self.weights]
        return [np.where(w == 0, 0, np.real(w * y)) for w, y in zip(self.weights, results, strict=True)]

    def _gain(self, above: list[NDArray], below: list[NDArray], where: NDArray) -> NDArray:
        """The increase of the mixture: of all of it, or for each element of its own part."""
        gains = [
            np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, a - b)
            for a, b in zip(above, below, strict=True)
        ]
        if self.is_elementwise:
            return self._per_element(gains[0])[where]
        return np.array([math.fsum(float(np.sum(gain)) for gain in gains)])

    def _reach(self, above: list[NDArray], below: list[NDArray], where: NDArray) -> NDArray:
        """The size of the results whose rounding errors affect a slope."""
        largest = [
            np.maximum(np.maximum(np.abs(a), np.abs(b)), np.abs(h))
            for a, b, h in zip(above, below, self.here, strict=True)
        ]
        if self.is_elementwise:
            return self._per_element(largest[0])[where]
        touched = self.touched.get(int(where[0])) or [np.ones(y.shape, bool) for y in largest]
        return np.array(
            [math.sqrt(sum(float(np.sum(y[t] ** 2)) for y, t in zip(largest, touched, strict=True)))]
        )

    def _per_element(self, y: NDArray) -> NDArray:
        each: NDArray = np.real(fit(y, self.x)).reshape(-1)
        return each


class Settled(NamedTuple):
    """A slope, its uncertainty, and the rung of the ladder on which it was read."""

    slope: float
    error: float
    rung: int


class Ladder(NamedTuple):
    """The slopes for one element: to its left, to its right, and across, for steps from long to short."""

    steps: NDArray
    left: NDArray
    right: NDArray
    across: NDArray
    noise: NDArray
    scale: float

    def verdict(self, a: float, atol: float, rtol: float, longest: float) -> tuple[str, float, float]:
        """Judge the slope from a rule; return the verdict, the right slope, and the step that shows it.

        The verdict ``"beyond"`` means a slope at a kink that is not between the slopes from both sides.

        Parameters
        ----------
        a : float
        atol, rtol : float
            The tolerated error of a right slope.
        longest : float
            A slope over steps up to this length is as good as one over the shortest.
        """
        left, right, across = map(self.settle, ("left", "right", "across"))
        margin = atol + rtol * abs(across.slope)
        negligible = margin + 1e-9 * float(self.noise[-1] * self.steps[-1]) / _ROUNDING / self.scale

        def is_settled(side: Settled) -> bool:
            return side.error <= _SETTLED * abs(side.slope) + negligible

        def answer(verdict: str, side: Settled) -> tuple[str, float, float]:
            return verdict, side.slope, float(self.steps[side.rung])

        if is_settled(left) and is_settled(right):
            leeway = margin + left.error + right.error
            low, high = sorted((left.slope, right.slope))
            if high - low > _BENT * max(abs(low), abs(high)) + 4 * leeway:
                return answer("kink" if low - leeway <= a <= high + leeway else "beyond", across)
        if is_settled(across):
            if abs(a - across.slope) <= margin + across.error or self._is_somewhere(a, atol, rtol, longest):
                return answer("right", across)
            if self._is_smooth(across.rung, margin) and not self._is_singular():
                return answer("wrong", across)
        elif is_settled(left) != is_settled(right):  # at the edge of the operation's domain
            side = left if is_settled(left) else right
            return answer(
                "kink" if abs(a - side.slope) <= margin + side.error or not math.isfinite(a) else "wrong",
                side,
            )
        return answer("kink" if self._is_singular() or not math.isfinite(a) else "unsettled", across)

    def settle(self, side: str) -> Settled:
        """The slope on the rung where neighbours agree best.

        It prefers agreement in many digits to slopes that are all small, as across the waves of a sine.
        """
        slopes = getattr(self, side)
        errors = self._errors(slopes)
        relative = errors / np.abs(slopes[1:-1])
        rung = int(np.argmin(np.where(np.isnan(relative), np.inf, relative)))
        if not relative[rung] < 1e-3:
            rung = int(np.argmin(errors))
        return Settled(float(slopes[rung + 1]), float(errors[rung]), rung + 1)

    def _errors(self, slopes: NDArray) -> NDArray:
        """The uncertainty of a slope on each rung except the outermost."""
        jumps = np.abs(np.diff(slopes))
        errors = np.maximum(jumps[:-1], jumps[1:]) + self.noise[1:-1]
        return np.where(np.isnan(errors), np.inf, errors)

    def _is_somewhere(self, a: float, atol: float, rtol: float, longest: float) -> bool:
        """Whether slopes converge to ``a`` over some of the shorter steps."""
        slopes, errors = self.across[1:-1], self._errors(self.across)
        margin = atol + rtol * np.abs(slopes)
        is_near = (np.abs(slopes - a) <= margin + errors) & (errors <= margin)
        return bool(np.any(is_near & (self.steps[1:-1] <= longest)))

    def _is_smooth(self, rung: int, margin: float) -> bool:
        """Whether the slopes from both sides approach each other as the steps become shorter."""
        gap, next_gap = np.abs(self.right - self.left)[rung : rung + 2]
        size = np.fmax(np.abs(self.right), np.abs(self.left))[rung]
        return bool(gap <= 0.1 * size + margin + 8 * self.noise[rung] or next_gap <= gap / 4)

    def _is_singular(self) -> bool:
        """Whether slopes keep growing as the steps become shorter."""
        slopes = np.abs(self.across)[1:-1]
        reliable = slopes[self.noise[1:-1] <= 0.01 * slopes]
        has_settled = bool(np.any(self._errors(self.across) <= 1e-3 * slopes))
        return not has_settled and reliable.size > 1 and bool(reliable[-1] > _SINGULAR * reliable[0])


def _is_bent(wide: NDArray, narrow: NDArray, atol: float) -> bool:
    """Whether both sides disagree over a step and a shorter one in a way that a smooth curve cannot explain."""
    (left, right, _, noise), (short_left, short_right, *_) = wide, narrow
    gap, short_gap = abs(right - left), abs(short_right - short_left)
    is_small = gap <= atol + _BENT * np.fmax(abs(left), abs(right)) + 8 * noise
    return not (is_small or gap / 2 <= _FACTOR * short_gap <= 2 * gap)
