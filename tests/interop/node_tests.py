"""The tests that ONNX has for every operator, for our reader: ``python tests/interop/node_tests.py`` prints a table."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import tinygrad_mnist as tg
from tinygrad_mnist.interop.onnx.operators import OPERATORS

#: Why a test is not passed, by what the reader says.
_LACKING = "a type that NumPy lacks (bfloat16, float8, float4, integers of 4 or 2 bits)"
REASONS = {
    "numbers of type ": _LACKING,
    "pass numbers that NumPy computes with": _LACKING,
    "images have one axis or two": "volumes: convolutions and pools of three axes",
    "what was kept": "dropout in training: random numbers",
    "training_mode=1": "batch norm in training inside a file",
    "places of the largest": "max pool: the places of the largest elements",
    "antialias": "resize: antialias, or a part of the image",
    "peepholes": "LSTM with peepholes",
}

#: Tests that are not passed for a reason of their own.
KNOWN = {
    "test_training_dropout_default": "dropout in training: random numbers",
    "test_training_dropout": "dropout in training: random numbers",
    "test_attention_4d_causal_fp16_expanded": "rounding in float16",
}

#: Modules of tests of what most networks need.
USUAL = (
    "batchnorm", "clip", "concat", "conv", "convtranspose", "einsum", "expand", "gather", "gemm", "globalaveragepool",
    "gru", "layernormalization", "lstm", "matmul", "pad", "reduce_mean", "reshape", "resize", "rnn", "slice", "softmax",
    "split", "squeeze", "transpose", "where",
)  # fmt: skip


def load(*modules: str) -> list[Any]:
    """The tests of some modules, or of all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case import node

        for module in pkgutil.walk_packages(node.__path__, f"{node.__name__}."):
            if not modules or module.name.rpartition(".")[2] in modules:
                importlib.import_module(module.name)
    found = sorted(node._NodeTestCases, key=lambda case: case.name)
    return [case for case in found if not modules or not case.name.endswith("_expanded")]


def operators(case: Any) -> set[str]:
    return {
        n.op_type if n.domain in ("", "ai.onnx") else f"{n.domain}.{n.op_type}" for n in case.model.graph.node
    }


def is_ours(case: Any) -> bool:
    return operators(case) <= set(OPERATORS)


def check(case: Any, folder: Path) -> None:
    """Import the test's model and compare its outputs with those that are expected."""
    path = folder / "model.onnx"
    path.write_bytes(case.model.SerializeToString())
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model = tg.import_onnx(path)
        for inputs, outputs in case.data_sets:
            found = model(*map(array, inputs))
            for y, expected in zip(
                found if isinstance(found, tuple) else (found,), map(array, outputs), strict=True
            ):
                ours = np.asarray(y)
                assert (ours.dtype, ours.shape) == (expected.dtype, expected.shape)
                np.testing.assert_allclose(ours, expected, rtol=case.rtol, atol=case.atol)


def array(x: Any) -> Any:
    return onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else np.asarray(x)


def reason(case: Any, error: BaseException) -> str:
    """Why a test is not passed; "" if that is not known."""
    if case.name in KNOWN:
        return KNOWN[case.name]
    return next((why for text, why in REASONS.items() if text in str(error)), "")


def main() -> int:
    cases = load()
    ours = [case for case in cases if is_ours(case)]
    passed, failed = 0, defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for case in ours:
            try:
                check(case, Path(folder))
                passed += 1
            except Exception as error:
                failed[reason(case, error) or f"NOT KNOWN: {error}"].append(case.name)
    print(f"{len(cases):5} node tests of onnx {onnx.__version__}")
    print(f"{len(ours):5} use only the {len(OPERATORS)} operators that are known here")
    print(f"{passed:5} pass")
    for why, names in sorted(failed.items(), key=lambda item: -len(item[1])):
        print(f"{len(names):5} {why}")
    return int(any(why.startswith("NOT KNOWN") for why in failed))


if __name__ == "__main__":
    sys.exit(main())
