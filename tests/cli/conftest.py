"""A hundred commands train on scikit-learn's digits, which are unpacked and parsed once for all."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def digits_are_parsed_once() -> Iterator[None]:
    if importlib.util.find_spec("sklearn") is None:
        yield
        return
    from sklearn import datasets

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_digits", functools.cache(datasets.load_digits))
        yield
