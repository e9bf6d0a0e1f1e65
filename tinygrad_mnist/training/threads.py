"""How many threads the matrix products of a training get: as many as they are worth.

A BLAS hands out a product to as many threads as there are cores, and waits for the last of them. For small products
that costs more than it saves. Where others use the cores too, it costs several times the product, since a thread that
waits for its turn holds up the others. ``docs/threads.md`` has the measurements.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from ..data import DataLoader
from ..errors import OptionError
from ..nn import Module

__all__ = ["VARIABLES", "choose_threads", "count_threads", "largest_product", "limit_threads"]

#: Variables by which users say how many threads they want. They are obeyed.
VARIABLES = (
    "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"
)  # fmt: skip

#: The number of multiplications from which a product may be worth several threads. Below, one thread is as fast on an
#: idle machine: of products of 6 million, none gained; of 50 million, all did.
LARGE = 2**24

#: How a large product is tried: so many rounds of so many seconds each, and the share of the time of one thread that
#: several must not exceed. The rounds are longer than the turn of a process on a busy machine.
ROUNDS, SECONDS, WORTHWHILE = 8, 0.015, 0.9

#: The share of the cores that the threads of a trial must get: if others compute on every core, one thread of two cores
#: gets two thirds of one, and two threads get half of each. On an idle machine it is 0.98 to 1.
OWN = 0.85

#: The numbers of threads that trainings in this process want now, and what the libraries had before the first of them.
_wanted: list[int] = []
_before: list[tuple[Any, int]] = []
_lock = threading.Lock()


def choose_threads(
    model: Module, loader: DataLoader, asked: int | None = None, *, is_alone: bool = True
) -> int | None:
    """Choose the number of threads for the products of a training.

    Parameters
    ----------
    model : Module
    loader : DataLoader
        The training data.
    asked : int, optional
        The number that the user asks for.
    is_alone : bool, default True
        Whether no other processes train together with this one.

    Returns
    -------
    int or None
        One if the products are small, or if the cores are in use. Otherwise as many as the BLAS has, if they get
        the cores for themselves and are faster in a trial of a quarter of a second. None if nothing is to be changed,
        because a variable such as ``OMP_NUM_THREADS`` says how many, or because this BLAS cannot be told.

    Raises
    ------
    OptionError
        If ``asked`` is not a positive integer.
    """
    if asked is not None:
        if not isinstance(asked, (int, np.integer)) or isinstance(asked, bool) or asked < 1:
            raise OptionError(f"fit: threads = {asked!r} is not a positive integer")
        return int(asked)
    if any(os.environ.get(name) for name in VARIABLES):
        return None
    available = count_threads()
    if available is None:
        return None
    if not is_alone:
        return 1
    rows, inner, columns = largest_product(model, loader)
    if available == 1 or rows * inner * columns < LARGE or _wanted:  # another training uses the cores
        return 1
    return available if _is_faster(available, rows, inner, columns) else 1


def largest_product(model: Module, loader: DataLoader) -> tuple[int, int, int]:
    """Return the shape of a model's largest product, ``(m, k) @ (k, n)``, as its weights and data tell it.

    For weights with more than two axes, as convolutions have, it is the largest that it can be.

    Examples
    --------
    >>> from tinygrad_mnist import nn
    >>> data = np.zeros((1000, 28, 28), np.uint8), np.zeros(1000, np.int64)
    >>> largest_product(nn.MLP([784, 512, 10], rng=0), DataLoader(data, 128))
    (128, 784, 512)
    """
    weights = [p.shape for p in model.parameters() if p.ndim > 1]
    if not weights:
        return 1, 1, 1
    largest = max(weights, key=math.prod)
    numbers = math.prod(loader.dataset.example_shape)
    positions = max(numbers // weights[0][-1], 1) if max(map(len, weights)) == 2 else numbers
    rows = min(loader.batch_size, len(loader.dataset)) * positions
    return rows, math.prod(largest[1:]), largest[0]


def count_threads() -> int | None:
    """Return how many threads the BLAS takes now; None if it cannot be told."""
    return max((library.num_threads for library in _libraries()), default=None)


@contextmanager
def limit_threads(count: int | None) -> Iterator[None]:
    """Give the BLAS a number of threads within a block; None leaves it as it is.

    The setting is one for the whole process. If blocks overlap, in one thread or in several, the least number counts,
    and the last that ends restores what was before the first.
    """
    libraries = _libraries() if count is not None else []
    if count is None or not libraries:
        yield
        return
    with _lock:
        if not _wanted:
            _before[:] = [(library, library.num_threads) for library in libraries]
        _wanted.append(count)
        _apply()
    try:
        yield
    finally:
        with _lock:
            _wanted.remove(count)
            _apply()


def _apply() -> None:
    for library, before in _before:
        library.set_num_threads(min(_wanted, default=before))


def _libraries() -> list[Any]:
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _is_faster(count: int, rows: int, inner: int, columns: int) -> bool:
    """Try whether so many threads are worth it now, on a product of this shape, or of fewer rows."""
    rows = min(rows, max(2**21 // inner, 64))
    a, b = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
    seconds, shares = {1: 0.0, count: 0.0}, {1: 0.0, count: 0.0}
    with _lock:
        if _wanted:
            return False
        before = [(library, library.num_threads) for library in _libraries()]
        try:
            for _ in range(ROUNDS):
                for threads in seconds:
                    for library, _ in before:
                        library.set_num_threads(threads)
                    product, busy = _time(a, b)
                    seconds[threads] += product
                    shares[threads] += busy / threads / ROUNDS
        finally:
            for library, threads in before:
                library.set_num_threads(threads)
    # By chance, several threads may win on a busy machine; but the cores cannot be theirs by chance.
    return seconds[count] < WORTHWHILE * seconds[1] and min(shares.values()) > OWN


def _time(a: Any, b: Any) -> tuple[float, float]:
    """The seconds that a product takes, and how many cores this process had meanwhile."""
    a @ b
    started, used, products = time.perf_counter(), time.process_time(), 0
    while products == 0 or time.perf_counter() - started < SECONDS:
        a @ b
        products += 1
    seconds = time.perf_counter() - started
    return seconds / products, (time.process_time() - used) / seconds
