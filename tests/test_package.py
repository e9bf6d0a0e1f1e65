"""The package as a whole: what importing it costs, what it offers, and how it is put together."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import pickle
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg

PACKAGE = Path(tg.__file__).parent
ROOT = PACKAGE.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages([str(PACKAGE)], "tinygrad_mnist.")
    if not info.name.endswith("__main__")
)
SUBPACKAGES = [
    "tinygrad_mnist",
    *(f"tinygrad_mnist.{name}" for name in ("data", "experiments", "nn", "optim", "training", "viz")),
]
HEAVY = (
    "matplotlib",
    "graphviz",
    "tqdm",
    "click",
    "safetensors",
    "sklearn",
    "PIL",
    "numba",
    "hypothesis",
    "pytest",
)


def python(code):
    """Run code in a fresh interpreter and return the JSON it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# -- importing -----------------------------------------------------------------------------------


PARTS = ["data", "nn", "optim", "testing", "training", "viz"]


@pytest.fixture(scope="module")
def fresh():
    """What an interpreter of its own has loaded and offers: others may have imported more by now."""
    return python(
        "import sys, json, tinygrad_mnist as tg\n"
        f"loaded, names = sorted(sys.modules), {PARTS}\n"
        "parts, offered = [getattr(tg, name).__name__ for name in names], dir(tg)\n"
        "import tinygrad_mnist.cli\n"
        "print(json.dumps([loaded, parts, offered, dir(tg)]))"
    )


def test_importing_is_light(fresh):
    loaded = fresh[0]
    assert "tinygrad_mnist.tensor" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_using_it_needs_no_extra():
    code = (
        "import sys, json\n"
        "for name in ('matplotlib', 'sklearn', 'PIL', 'numba', 'graphviz_pure'): sys.modules[name] = None\n"
        "import tinygrad_mnist as tg\n"
        "import tinygrad_mnist.cli\n"
        "train, test = tg.data.load_mnist('sample')\n"
        "model = tg.nn.MLP([784, 8, 10], rng=0)\n"
        "tg.training.fit(model, train, epochs=1, rng=0, progress=False)\n"
        "text = tg.viz.draw_graph(tg.nn.CrossEntropyLoss()(model(test[:3][0]), test[:3][1])).source\n"
        "print(json.dumps([text[:7], tg.training.evaluate(model, test)['accuracy'] > 0.2]))"
    )
    assert python(code) == ["digraph", True]


def test_parts_are_imported_when_used(fresh):
    loaded, parts, offered, _ = fresh
    assert [name for name in PARTS if f"tinygrad_mnist.{name}" in loaded] == []
    assert parts == [f"tinygrad_mnist.{name}" for name in PARTS]
    assert set(PARTS) <= set(offered)


def test_tab_offers_public_names_only(fresh):
    offered = fresh[3]
    assert {name for name in offered if not name.startswith("_")} == set(tg.__all__)
    assert "__version__" in offered


def test_a_part_that_is_not_there():
    with pytest.raises(AttributeError, match="'tinygrad_mnist' has no attribute 'neural'"):
        tg.neural  # noqa: B018
    assert not hasattr(tg, "neural")


@pytest.mark.thorough
def test_any_part_may_be_imported_first():
    names = [name for name in MODULES if name.count(".") == 1]
    code = (
        "import importlib, json, sys\n"
        "faults = {}\n"
        f"for name in {names}:\n"
        "    for old in [old for old in sys.modules if old.partition('.')[0] == 'tinygrad_mnist']:\n"
        "        del sys.modules[old]  # as in an interpreter that has just started\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except Exception as error:\n"
        "        faults[name] = f'{type(error).__name__}: {error}'\n"
        "print(json.dumps(faults))"
    )
    assert python(code) == {}


@for_each("name", MODULES)
def test_no_module_hides_behind_a_function_of_its_name(name):
    package, _, last = name.rpartition(".")
    module = importlib.import_module(name)
    assert inspect.ismodule(module)
    assert getattr(sys.modules[package], last) is module


@pytest.mark.parametrize(("module", "function"), [(tg.tensor, "tensor"), (tg.primitive, "primitive")])
def test_a_module_that_is_a_function_too(module, function):
    function = getattr(module, function)
    assert inspect.isfunction(function)
    assert inspect.signature(module) == inspect.signature(function)
    assert inspect.getdoc(module) == inspect.getdoc(function)
    assert pickle.loads(pickle.dumps(module)) is module


def test_calling_such_a_module():
    x = tg.tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    assert (type(x), x.dtype, x.requires_grad) == (tg.Tensor, np.float32, True)

    @tg.primitive(samples=[((3,),)], name="tripled_once")
    def tripled(x, /):
        return 3 * x

    del tg.primitive._ALL["tripled_once"]
    assert isinstance(tripled, tg.primitive.Primitive)


# -- public names --------------------------------------------------------------------------------


@for_each("name", MODULES)
def test_all_names_what_is_there(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is for"
    names = getattr(module, "__all__", [])
    assert len(names) == len(set(names))
    for public in names:
        assert hasattr(module, public), f"{name}.__all__ names {public}, which is not there"


@pytest.mark.parametrize(
    "name", [*SUBPACKAGES, "tinygrad_mnist.testing", "tinygrad_mnist.files", "tinygrad_mnist.errors"]
)
def test_all_is_complete(name):
    """What a user finds in a part of the package, without a leading underscore, is in its ``__all__``."""
    module = importlib.import_module(name)
    found = {
        attribute
        for attribute, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.startswith(name)
        and not attribute.startswith("_")
    }
    assert found - set(module.__all__) == set()


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("", "Tensor tensor no_grad enable_grad primitive save load nn optim data training testing viz"),
        (
            "nn",
            "Module Parameter Sequential MLP Linear ReLU Sigmoid Tanh Softmax Dropout Flatten MSELoss "
            "CrossEntropyLoss BCEWithLogitsLoss NLLLoss L1Loss HuberLoss functional init",
        ),
        (
            "optim",
            "SGD Adam AdamW RMSprop Adagrad StepLR CosineAnnealingLR OneCycleLR clip_grad_norm_ clip_grad_value_",
        ),
        ("data", "load_mnist load_digits load_fashion_mnist Dataset DataLoader"),
        ("training", "fit evaluate predict History Callback EarlyStopping Checkpoint save_model load_model"),
        ("testing", "gradcheck numerical_gradient"),
        ("viz", "draw_graph render_graph plot_history plot_confusion plot_images plot_mistakes plot_weights"),
    ],
)
def test_the_promised_names(part, names):
    module = getattr(tg, part) if part else tg
    missing = [name for name in names.split() if not hasattr(module, name) or name not in module.__all__]
    assert missing == []


def public_callables():
    for package in [*SUBPACKAGES, "tinygrad_mnist.testing", "tinygrad_mnist.errors"]:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value):
                yield f"{package}.{name}", value


@for_each("name, value", [pytest.param(*item, id=item[0]) for item in public_callables()])
def test_docstrings(name, value):
    own = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    assert own, f"{name} has no docstring"
    first = own.strip().partition("\n")[0]
    assert first.endswith((".", "::")), f"{name}: {first!r} is no sentence"
    if inspect.isclass(value):
        for method, function in vars(value).items():
            if inspect.isfunction(function) and not method.startswith("_") and method != "forward":
                inherited = any(method in vars(base) for base in value.__mro__[1:])
                is_hook = method == "extra_repr" or inherited
                assert function.__doc__ or is_hook, f"{name}.{method} has no docstring"


def test_types_are_shipped():
    assert (PACKAGE / "py.typed").is_file()


# -- how it is put together ----------------------------------------------------------------------


def test_imports_only_go_down():
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 kept, 0 broken" in done.stdout


def test_every_module_is_on_a_floor():
    floors = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = {module.strip() for floor in floors for module in re.split(r"[|:]", floor)}
    modules = {f"tinygrad_mnist.{path.stem}" for path in PACKAGE.glob("*.py")}
    packages = {f"tinygrad_mnist.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py")}
    assert (modules | packages) - placed == {"tinygrad_mnist.__init__"}
    assert placed <= modules | packages


LONG = {
    "compiler/program.py": "what a program is, and what its calls know of themselves",
    "graph.py": "nodes and the sweep, a third of it docstrings",
    "ops/losses.py": "the losses, with what is checked of their targets, a third of it docstrings",
    "primitive.py": "what an operation is and what it is tested on, half of it docstrings",
    "tensor.py": "the handle, NumPy's protocols and the recording, half of it docstrings",
}


def test_files_are_short():
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    long = {name for name, path in files.items() if len(path.read_text(encoding="utf-8").splitlines()) > 500}
    assert long == set(LONG)


def test_the_version():
    assert PROJECT["project"]["version"] == tg.__version__
    assert f"\nversion: {tg.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## [{tg.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_extras_in_messages_exist():
    extras = PROJECT["project"]["optional-dependencies"]
    named = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= {
            name for found in re.findall(r"tinygrad-mnist\[([a-z,]+)\]", text) for name in found.split(",")
        }
        named |= set(re.findall(r"\bextra=\"(\w+)\"", text))
    assert {"plots", "digits", "render"} <= named
    assert named <= set(extras)
    # PyTorch is too large for `all`, and who turns layers into PyTorch's has it already; clusters have their own MPI.
    for name in named - {"torch", "mpi"}:
        assert name in extras["all"][0]


def test_dependencies_are_those_imported():
    """What the package imports at any place is declared, as a dependency or in an extra."""
    declared = [*PROJECT["project"]["dependencies"]]
    for requirements in PROJECT["project"]["optional-dependencies"].values():
        declared += requirements
    names = {re.split(r"[\[<>=!~ ]", requirement)[0].lower().replace("-", "_") for requirement in declared}
    names |= {"sklearn"} if "scikit_learn" in names else set()
    names |= {"pil"} if "pillow" in names else set()
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(statement, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom) and not statement.level:
                imported.add(str(statement.module).partition(".")[0])
    others = {name for name in imported if name not in sys.stdlib_module_names and name != "tinygrad_mnist"}
    assert {"numpy", "click", "tqdm", "safetensors", "graphviz"} <= others
    assert {name.lower() for name in others} <= names


def test_the_errors_are_a_family():
    family = [
        value
        for value in vars(tg.errors).values()
        if inspect.isclass(value) and issubclass(value, Exception) and not issubclass(value, Warning)
    ]
    assert len(family) >= 10
    for error in family:
        assert issubclass(error, tg.errors.TinygradError)
        if error is not tg.errors.TinygradError:
            builtin = [base for base in error.__mro__ if base.__module__ == "builtins"]
            assert builtin[0] not in (Exception, BaseException), f"{error.__name__} is no built-in error"


def test_the_readme_of_the_sample_is_shipped():
    notice = (PACKAGE / "data" / "sample" / "NOTICE").read_text(encoding="utf-8")
    assert "LeCun" in notice
    assert "ShareAlike 3.0" in re.sub(r"[\s-]+", " ", notice).replace("Share Alike", "ShareAlike")
