"""Many runs with different settings: in parallel, on this machine or a cluster, each only once.

Each result is written to its own file as soon as it is there. To continue a stopped sweep, make the same
call again; it computes only the missing results.
"""

from __future__ import annotations

import itertools
import json
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from ..errors import DataError, MissingExtraError, OptionError, choice, require
from ..files import replace
from ..reading import LARGEST_JSON, parse_json, read_bytes

__all__ = ["BACKENDS", "grid", "sweep"]

BACKENDS = ("loky", "dask")

Setting = dict[str, Any]


def grid(**axes: Iterable[Any]) -> list[Setting]:
    """Return every combination of values, with the last one changing fastest.

    Examples
    --------
    >>> grid(lr=[0.1, 0.2], seed=range(2))
    [{'lr': 0.1, 'seed': 0}, {'lr': 0.1, 'seed': 1}, {'lr': 0.2, 'seed': 0}, {'lr': 0.2, 'seed': 1}]
    """
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def sweep(
    task: Callable[..., Mapping[str, Any]],
    settings: Iterable[Setting],
    folder: str | os.PathLike[str],
    *,
    shared: Mapping[str, Any] | None = None,
    workers: int | None = None,
    backend: str = "loky",
    scheduler: str | None = None,
) -> list[Setting]:
    """Call ``task(**shared, **setting)`` for each setting, on all cores, and keep each result in a file.

    Parameters
    ----------
    task : function
        It returns a dict of numbers, text or lists of them, and runs in another process.
    settings : iterable of dict
        Numbers or text by name, such as :func:`grid` makes; all different.
    folder : path
        The folder with a file for each result. Existing results are read, not computed again.
    shared : mapping, optional
        Arguments that are the same in all calls, such as the data; large values are not sent with every call.
    workers : int, optional
        The default is the number of cores, or of workers in the cluster.
    backend : {'loky', 'dask'}
        Processes on this machine, or a Dask cluster.
    scheduler : str, optional
        Address of the cluster's scheduler; without it, a cluster is started on this machine.

    Returns
    -------
    list of dict
        In the order of the settings; each is its setting together with the result of ``task``.

    Raises
    ------
    MissingExtraError
        If Dask is not installed, or joblib, if several workers are requested. Without joblib and without
        ``workers``, the runs follow one another.
    OptionError
        If there is no such backend, two settings are equal, or a scheduler is given without Dask.
    DataError
        If a file of an earlier result is damaged.

    Notes
    -----
    A run that raises an error does not end the sweep: the others finish, and then the first error is raised.
    Ctrl-C ends the sweep at once. In both cases, results are kept.

    Examples
    --------
    >>> import tempfile
    >>> def square(x): return {"y": x * x}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sweep(square, grid(x=[1, 2, 3]), folder, workers=1)
    [{'x': 1, 'y': 1}, {'x': 2, 'y': 4}, {'x': 3, 'y': 9}]
    """
    if backend not in BACKENDS:
        raise choice("backend", backend, BACKENDS)
    if scheduler is not None and backend != "dask":
        raise OptionError(f"sweep: scheduler= works only with backend='dask', not with {backend!r}")
    settings, shared = list(settings), dict(shared or {})
    files = [Path(folder) / f"{_name(setting)}.json" for setting in settings]
    if len(set(files)) < len(files):
        raise OptionError("sweep: two settings are equal and would share a file")
    results = {i: _read(file, settings[i]) for i, file in enumerate(files) if file.exists()}
    missing = [(i, setting) for i, setting in enumerate(settings) if i not in results]
    failures: list[Exception] = []
    with tqdm(total=len(files), initial=len(results), unit="run", disable=None) as bar:
        try:
            for i, result in _compute(task, missing, shared, workers, backend, scheduler):
                if isinstance(result, Exception):
                    failures.append(result)
                else:
                    results[i] = dict(result)
                    _keep(files[i], settings[i], results[i])
                bar.update()
            if failures:
                raise failures[0]
        except BaseException:
            failed = f", {len(failures)} failed" if failures else ""
            click.echo(f"{len(results)} of {len(files)} runs are done and kept in {folder}{failed}", err=True)
            raise
    return [{**setting, **results[i]} for i, setting in enumerate(settings)]


def _compute(
    task: Callable[..., Mapping[str, Any]],
    numbered: list[tuple[int, Setting]],
    shared: dict[str, Any],
    workers: int | None,
    backend: str,
    scheduler: str | None,
) -> Iterator[tuple[int, Mapping[str, Any] | Exception]]:
    """Yield each result as soon as it is there, with the number of its setting."""
    if not numbered:
        return
    try:
        joblib = require("joblib", extra="sweep", purpose="running experiments in parallel")
    except MissingExtraError as error:
        if backend == "dask" or (workers or 1) > 1:
            raise
        click.echo(f"one run after the other: {error}", err=True)
        yield from (_call(task, i, setting, [*shared], *shared.values()) for i, setting in numbered)
        return
    with _cluster(backend, scheduler, list(shared.values())) as options:
        jobs = -1 if workers is None else workers
        with joblib.parallel_config(backend=backend, n_jobs=jobs, **options):
            # Each shared value is a separate argument: inside a dict, Dask would send it with every call.
            calls = (
                joblib.delayed(_call)(task, i, setting, [*shared], *shared.values())
                for i, setting in numbered
            )
            yield from joblib.Parallel(return_as="generator_unordered", batch_size=1)(calls)


def _call(
    task: Callable[..., Mapping[str, Any]], number: int, setting: Setting, names: list[str], *shared: Any
) -> tuple[int, Mapping[str, Any] | Exception]:
    """Return an error as a value: raised here, it would discard the work of other workers."""
    try:
        return number, task(**dict(zip(names, shared, strict=True)), **setting)
    except Exception as error:
        error.add_note(f"in the run with {_name(setting)}:\n{traceback.format_exc()}")
        return number, error


@contextmanager
def _cluster(backend: str, scheduler: str | None, large: list[Any]) -> Iterator[dict[str, Any]]:
    """Connect to a Dask cluster, or start one, for as long as it is needed."""
    if backend != "dask":
        yield {}
        return
    distributed = require("distributed", extra="cluster", purpose="running experiments on a Dask cluster")
    own = {} if scheduler else {"threads_per_worker": 1, "dashboard_address": None}
    with distributed.Client(scheduler, **own):
        yield {"scatter": large} if large else {}


def _name(setting: Setting) -> str:
    return ",".join(f"{name}={value}" for name, value in setting.items()).replace(os.sep, "_")


def _keep(file: Path, setting: Setting, result: Setting) -> None:
    replace(file, json.dumps({"setting": setting, "result": result}, indent=2).encode() + b"\n")


def _read(file: Path, setting: Setting) -> dict[str, Any]:
    try:
        kept = parse_json(read_bytes(file, LARGEST_JSON))
        if kept["setting"] == setting and isinstance(kept["result"], dict):
            return dict(kept["result"])
        problem = "it belongs to another setting"
    except (ValueError, KeyError, TypeError) as error:
        problem = str(error)
    raise DataError(f"{file}: is not a result of this sweep ({problem}); remove it to compute it again")
