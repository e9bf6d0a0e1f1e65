"""Whatever a file holds, reading it ends well or with an error of the project, in little time and memory.

By default some mutants and bombs are used in this process. ``--thorough`` uses 20,000 in processes with little
memory, and measures; ``python tests/hostile/mutants.py`` does the same and prints a table.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bombs import BOMBS, PLACES
from helpers import for_each
from kinds import make_kinds
from mutants import Zoo, explode, report, run, watch

import tinygrad_mnist as tg
from tinygrad_mnist import reading
from tinygrad_mnist.cli import cli
from tinygrad_mnist.data import images, load_mnist, read_csv, read_digit
from tinygrad_mnist.data.formats import corpus, pickled
from tinygrad_mnist.errors import DataError, TinygradError
from tinygrad_mnist.training import history, runs, saving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and limits of memory are POSIX")

KINDS = make_kinds()

#: Bombs that are no larger than they say, and what is in them is read.
HARMLESS = {"arrays: terabytes of nothing", "picture: gif with a comment first"}

#: Bombs that take long to write or to look through.
LARGE = {
    name
    for name in BOMBS
    if name.partition(": ")[2]
    in {
        "blank lines of spaces", "empty objects", "gif of many frames", "header of 4 GB", "headers",
        "jpeg of many parts", "long header", "length of all", "long",
        "many large ones", "many members", "measures of a row", "name of a member", "names", "padding",
        "png of 80 megapixels", "ppm in letters", "png with a long camera", "short rows",
        "tiff with many strips", "very many layers", "wide rows",
        "zeros behind it",
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return Zoo(tmp_path_factory.mktemp("zoo"))


def test_some_mutants(zoo, monkeypatch):
    monkeypatch.chdir(zoo.root)
    outcomes = [zoo.use(number) for number in range(260)]
    assert [outcome for outcome in outcomes if outcome.verdict not in ("used", "refused")] == []
    refused = [outcome for outcome in outcomes if outcome.verdict == "refused"]
    assert {outcome.kind for outcome in refused} >= set(zoo.quick)
    assert len(refused) < 0.95 * len(outcomes)
    for outcome in refused:
        assert 10 < len(outcome.message) < 3_000, outcome
        assert str(zoo.root / outcome.kind) in outcome.message, outcome


@pytest.mark.thorough
@pytest.mark.soak
def test_20_000_mutants(capsys):
    outcomes = run([*range(20_000)])
    with capsys.disabled():
        print(f"\n{report(outcomes)}")
    assert [outcome for outcome in outcomes if outcome.verdict not in ("used", "refused")] == []


@pytest.mark.parametrize("name", [name for name in BOMBS if name not in LARGE])
def test_bombs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = watch(name, BOMBS[name](tmp_path))
    assert outcome.verdict == ("used" if name in HARMLESS else "refused"), outcome
    assert len(outcome.message) < 1_000


@pytest.mark.thorough
@pytest.mark.soak
def test_all_bombs_in_little_memory(capsys):
    outcomes = list(explode(list(BOMBS)))
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[:5]
    with capsys.disabled():
        print("\nslowest bombs: " + ", ".join(f"{o.kind} {o.seconds:.2f} s" for o in slowest))
    for outcome in outcomes:
        assert outcome.verdict == ("used" if outcome.kind in HARMLESS else "refused"), outcome


@pytest.mark.parametrize("make", PLACES)
@for_each("name", [name for name, kind in KINDS.items() if not kind.is_slow])
def test_what_is_no_file(name, make, tmp_path):
    kind, folder = KINDS[name], tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    kind.write(folder)
    file = folder / kind.file
    file.unlink()
    make(file)
    if (name, make.__name__) in {
        ("sweep", "make_dangling"),
        ("sweep", "make_circle"),
        ("result", "make_dangling"),
    }:
        kind.use(folder)  # there is no result yet
        return
    with pytest.raises(TinygradError) as raised:
        kind.use(folder)
    assert kind.file.split("/")[0].partition("-")[0] in str(raised.value)


@pytest.mark.parametrize("read", [load_mnist, read_csv, read_digit])
def test_a_user_that_there_is_not(read):
    with pytest.raises(DataError, match=r"~nobody-of-this-name/x: .*not known"):
        read("~nobody-of-this-name/x")


def test_a_user_that_there_is_not_in_a_variable(monkeypatch):
    monkeypatch.setenv("TINYGRAD_MNIST_DATA", "~nobody-of-this-name/x")
    with pytest.raises(DataError, match=r"\$TINYGRAD_MNIST_DATA: ~nobody"):
        load_mnist()
    assert "not known" in next(str(place) for place in tg.data.describe() if "MNIST_DATA" in place.place)


@pytest.mark.parametrize("path", ["a\0b", "a" * 5_000, "/proc/self/mem", "\udcff"])
@pytest.mark.parametrize("read", [load_mnist, read_csv, read_digit, tg.load, tg.training.load_model])
def test_names_that_no_file_has(read, path):
    with pytest.raises(TinygradError):
        read(path)


@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_a_file_may_shrink_after_it_is_read(tmp_path, ending):
    array = np.arange(2**18, dtype=np.float32)
    path = tmp_path / f"a.{ending}"
    tg.save({"x": array}, path)
    found = tg.load(path)["x"]
    os.truncate(path, 0)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("kept", [0, 10, 1_000])
def test_a_file_may_shrink_while_it_is_read(tmp_path, monkeypatch, kept):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2_000, 2_000), np.uint8))
    read = reading.read_exactly

    def shrink(stream, *args, **settings):
        os.truncate(path, kept)
        return read(stream, *args, **settings)

    monkeypatch.setattr(reading, "read_exactly", shrink)
    with pytest.raises(DataError, match=r"a\.npy: cut short"):
        read_digit(path)


def test_no_layer_is_larger_than_what_is_saved():
    """Layers make their arrays by nn.init, so that what a file describes can be compared with what it holds."""
    code = """if True:
        import inspect, resource
        from tinygrad_mnist import nn
        from tinygrad_mnist.errors import DataError
        from tinygrad_mnist.nn.init import room_for
        pages = int(open("/proc/self/statm").read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + 2**29,) * 2)
        for name in nn.layers.__all__:
            layer = getattr(nn, name)
            if not isinstance(layer, type):
                continue
            parameters = inspect.signature(layer).parameters.values()
            needed = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
            args = [[2**30, 2] if "Sequence" in str(p.annotation) else 2**30 for p in needed]
            with room_for(1_000):
                try:
                    made = nn.build({"class": name, "args": args})
                except DataError as error:
                    assert "MemoryError" not in str(error), name
                else:
                    assert sum(x.size for x in made.state_dict().values()) <= 1_000, name
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_line_says_one_line(tmp_path, capfd):
    KINDS["png"].write(tmp_path)
    KINDS["config"].write(tmp_path)
    (tmp_path / "a.png").write_bytes(b"\x1b[2Jnot a picture")
    for damaged in ("a.png", "run/config.json"):
        (tmp_path / damaged).write_bytes(b"\x1b[2J{")
        with pytest.raises(SystemExit) as raised:
            tg.experiments.options.run_command(
                cli, "tinygrad-mnist", ["predict", str(tmp_path / "run"), str(tmp_path / "a.png")]
            )
        said = capfd.readouterr().err
        assert raised.value.code == 1
        assert said.startswith(f"error: {tmp_path / damaged}: ")
        assert said.count("\n") == 1
        assert "\x1b" not in said


def test_the_limits_are_those_of_the_page():
    page = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    limits = [
        *(reading.LARGEST_FILE, reading.UNPACKED_FREELY, reading.RATIO, reading.LONGEST_HEADER),
        *(reading.LARGEST_ARRAYS, reading.LARGEST_JSON, reading.DEEPEST, reading.MOST_DIGITS),
        *(corpus.MAX_EXAMPLES, pickled.MAX_BYTES, pickled.MAX_INSTRUCTIONS, saving.LONGEST_DESCRIPTION),
        *(runs.LARGEST_SETTINGS, history.LARGEST_HISTORY, history.MOST_EPOCHS, history.MOST_MEASURES),
        *(images.MAX_PIXELS, *images.LARGEST.values()),
    ]
    assert [limit for limit in limits if not re.search(rf"\b{limit:,}\b", page)] == []
    assert len(BOMBS) >= 180
