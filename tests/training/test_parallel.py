"""Training in several processes: what mpiexec starts, what all of them get, and how they end."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import cli
from tinygrad_mnist.data import DataLoader
from tinygrad_mnist.errors import MissingExtraError, OptionError
from tinygrad_mnist.training import History, parallel
from tinygrad_mnist.training.generators import fork_generators, read_generators, write_generators
from tinygrad_mnist.training.parallel import Parallel
from tinygrad_mnist.training.resuming import CHECKPOINT
from tinygrad_mnist.training.threads import VARIABLES, choose_threads

CASES = Path(__file__).with_name("together.py")
SAME = ("model.safetensors", "history.jsonl")


@pytest.fixture(scope="module")
def mpiexec():
    """The program that starts the processes; the test is skipped where it cannot."""
    if find_spec("mpi4py") is None:
        pytest.skip("mpi4py is not installed")
    beside = Path(sys.executable).with_name("mpiexec")  # as the wheel of MPICH installs it
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("mpi4py is installed, but there is no mpiexec")
    return found


def start(mpiexec, processes, *command, options=(), **settings):
    """Start Python in so many processes."""
    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    environment["MPIR_CVAR_ENABLE_HEAVY_YIELD"] = "1"  # who waits leaves the core to other tests
    line = [mpiexec, *options, "-n", processes, sys.executable, "-W", "error", *command]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*map(str, line)], env=environment, **{**pipes, **settings})


def run_cases(mpiexec, processes, *cases, **settings):
    """Run cases of together.py, after which the last process dies of an error, which ends them all."""
    with start(mpiexec, processes, CASES, *cases, **settings) as process:
        said, errors = process.communicate(timeout=500)
    assert said.split() == list(cases), errors
    assert process.returncode == 1, errors
    assert "ArithmeticError: the last process has a fault" in errors
    assert f"process {processes - 1} of {processes} has ended all of them" in errors


def names():
    return re.findall(r"^def case_(\w+)", CASES.read_text(encoding="utf-8"), re.MULTILINE)


#: Those that compile machine code, or train often.
SLOW = ("single_precision", "accumulated", "odd_models", "a_signal_to_one")


def test_two_processes(mpiexec):
    run_cases(mpiexec, 2, *(name for name in names() if not name.startswith(SLOW)))


@pytest.mark.thorough
@pytest.mark.parametrize("processes", [2, 3, 4])
def test_several_processes(mpiexec, processes):
    run_cases(mpiexec, processes, *names())


# -- without other processes -------------------------------------------------------------------------


def test_one_process_is_trained_as_always():
    x, y = np.eye(4, dtype=np.float32), np.arange(4)
    models = [tg.nn.MLP([4, 3, 4], rng=0) for _ in range(2)]
    for model, how in zip(models, (None, Parallel()), strict=True):
        tg.training.fit(model, (x, y), epochs=2, progress=False, rng=0, parallel=how)
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        assert a.data.tobytes() == b.data.tobytes()


def test_other_ways_are_refused(monkeypatch):
    model, data = tg.nn.MLP([4, 3, 4], rng=0), (np.eye(4, dtype=np.float32), np.arange(4))
    with pytest.raises(OptionError, match="unknown parallel 'MPI' \\(did you mean 'mpi'"):
        tg.training.fit(model, data, parallel="MPI")
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)
    with pytest.raises(MissingExtraError, match="pip install 'tinygrad-mnist\\[mpi\\]'"):
        tg.training.fit(model, data, parallel="mpi")

    def fail(*arguments, **settings):
        raise RuntimeError("cannot load MPI library")

    monkeypatch.setattr(parallel, "require", fail)
    with pytest.raises(
        MissingExtraError, match=r"mpi4py finds no MPI \(cannot load MPI library\): pip install"
    ):
        tg.training.fit(model, data, parallel="mpi")


class Several(Parallel):
    """One of several processes that are not there."""

    def __init__(self, rank, size):
        super().__init__()
        self.rank, self.size = rank, size


def test_shares_are_the_whole_batch():
    x, y = np.arange(23.0), np.arange(23)
    loaders = [DataLoader((x, y), 7, shuffle=True, rng=0) for _ in range(4)]
    whole = [labels for _, labels in DataLoader((x, y), 7, shuffle=True, rng=0)]
    each = [Several(rank, 3) for rank in range(3)]
    shares = [
        [labels for _, labels in loader.batches(1, one.part)]
        for loader, one in zip(loaders, each, strict=False)
    ]
    for number, parts in enumerate(zip(*shares, strict=True), 2):
        np.testing.assert_array_equal(np.concatenate(parts), whole[number - 1])
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        weights = [one.weigh(loaders[0], number) for one in each]
        assert weights == [(len(whole[number - 1]), len(part) / len(whole[number - 1])) for part in parts]


def test_forked_generators_differ_and_are_seeded():
    def draw(number):
        rngs = {"a": np.random.default_rng(0), "b": np.random.default_rng(0), "c": np.random.RandomState(0)}
        rngs["d"] = random.Random(0)
        rngs["e"] = np.random.SFC64(0)
        if number:
            fork_generators(rngs, number)
        return [
            rngs["a"].integers(2**60),
            rngs["b"].integers(2**60),
            rngs["c"].randint(2**30),
            rngs["d"].random(),
            rngs["e"].random_raw(),
        ]

    before = read_generators({})  # those of NumPy and Python themselves are among them
    numbers = [draw(number) for number in (0, 1, 2, 1)]
    write_generators({}, before)
    assert numbers[1] == numbers[3]
    for one in zip(*numbers[:3], strict=True):
        assert len({*one}) == 3
    assert numbers[1][0] != numbers[1][1]  # generators that begin with the same state part, too


def test_each_process_has_one_thread(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    model, loader = (
        tg.nn.MLP([784, 2048, 10], rng=0),
        DataLoader((np.zeros((2000, 784)), np.zeros(2000)), 2000),
    )
    assert choose_threads(model, loader, is_alone=False) == 1
    assert choose_threads(model, loader, 3, is_alone=False) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert choose_threads(model, loader, is_alone=False) is None


# -- the command line --------------------------------------------------------------------------------


def quick(*options, epochs=3):
    """The arguments of a short training."""
    return [
        *(
            "-m",
            "tinygrad_mnist",
            "train",
            "--dataset",
            "digits",
            "--hidden",
            "16",
            "--no-plots",
            "--compile",
        ),
        *("numpy", "--dropout", "0.1", "--parallel", "mpi", "--epochs", epochs, *options),
    ]


def finish(process, status=0):
    said, errors = process.communicate(timeout=300)
    assert process.returncode == status, errors
    return said, errors


def children(process):
    """The process ids of the programs that mpiexec has started."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    inner = [process.pid]
    for pid in inner:
        inner += found.get(pid, [])
    python = Path(sys.executable).resolve()
    return [pid for pid in inner if _is_running(pid, python)]


def _is_running(pid, program):
    try:
        return Path(f"/proc/{pid}/exe").resolve() == program
    except OSError:
        return False


@pytest.mark.parametrize("rank", ["0", "1"])
def test_processes_that_train_apart_are_told(monkeypatch, capsys, rank):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", rank)
    monkeypatch.setattr(sys, "argv", ["tinygrad-mnist", "train", "--data", "nowhere"])
    with pytest.raises(SystemExit):
        cli.main()
    warned = "mpiexec has started 2 processes, and each trains a model of its own; --parallel mpi"
    assert (warned in capsys.readouterr().err) == (rank == "0")


@pytest.mark.thorough
def test_train_prints_once_and_learns_as_one_process(mpiexec, tmp_path):
    pytest.importorskip("sklearn")
    said = {}
    for processes in (1, 2, 4):
        folder = tmp_path / str(processes)
        said[processes] = finish(start(mpiexec, processes, *quick("--dropout", "0", "--out", folder)))
    for processes, (out, errors) in said.items():
        assert out.count("test accuracy") == 1
        assert errors.count("epoch 3/3") == 1
        assert ("start several with mpiexec" in errors) == (processes == 1)
    one, *others = (History.load(tmp_path / str(processes) / "history.jsonl") for processes in said)
    for rows in others:
        for row, alone in zip(rows, one, strict=True):
            assert row == pytest.approx(alone, rel=2e-3)


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the processes are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_one", [False, True], ids=["mpiexec", "one"])
def test_signals_stop_all_and_nothing_is_lost(mpiexec, tmp_path, number, to_one):
    pytest.importorskip("sklearn")
    with start(mpiexec, 2, *quick("--out", tmp_path / "run", epochs=30)) as process:
        while not (line := process.stderr.readline()).startswith("epoch  3/30"):
            assert line
        os.kill(children(process)[-1] if to_one else process.pid, number)
        finish(process, 128 + number)
    whole, more = tmp_path / "whole", ["--parallel", "mpi", "--no-plots", "--resume", tmp_path / "run"]
    finish(start(mpiexec, 2, "-m", "tinygrad_mnist", "train", *more))
    finish(start(mpiexec, 2, *quick("--out", whole, epochs=30)))
    for name in SAME:
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_whose_others_never_come_says_so_and_can_be_stopped(mpiexec, number):
    impatient = "from tinygrad_mnist.training import parallel; parallel.PATIENCE = 0.5; parallel.Parallel.start('mpi')"
    other = [":", "-n", 1, sys.executable, "-c", "import time; time.sleep(100)"]
    with start(mpiexec, 1, "-c", impatient, *other) as process:
        said = process.stderr.readline()
        process.send_signal(number)
        process.communicate(timeout=50)
    assert "process 0 of 2 has waited 0.5 seconds for the others. All of them must train with" in said
    assert process.returncode


@pytest.mark.thorough
@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the processes are found in /proc")
def test_processes_that_are_killed_at_random(mpiexec, tmp_path):
    """One of the processes is killed ten times, at random; each time all end, and the training goes on."""
    pytest.importorskip("sklearn")
    rng, folder, epochs, kills = np.random.default_rng(17), tmp_path / "run", 12, 0
    more = ["-m", "tinygrad_mnist", "train", "--parallel", "mpi", "--no-plots", "--resume", folder]
    often = ["--checkpoint-every", "0.0005"]
    while kills < 10:
        is_new = not (folder / "config.json").exists()
        command = quick("--out", folder, *often, epochs=epochs) if is_new else [*more, *often]
        with start(mpiexec, 2, *command) as process:
            for _ in range(rng.integers(3, 6)):  # while it loads, starts or trains
                process.stderr.readline()
            time.sleep(rng.uniform(0, 0.2))
            if pids := children(process):
                os.kill(pids[rng.integers(len(pids))], signal.SIGKILL)
            _, errors = process.communicate(timeout=100)
        kills += process.returncode != 0
        assert not children(process)
        if (folder / CHECKPOINT).exists():
            tg.load(folder / CHECKPOINT)  # it is whole
        if process.returncode == 0:  # the training was faster
            break
    finish(start(mpiexec, 2, *more))
    finish(start(mpiexec, 2, *quick("--out", tmp_path / "whole", epochs=epochs)))
    for name in SAME:
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), errors


# -- two machines ------------------------------------------------------------------------------------


@pytest.fixture
def hosts(tmp_path):
    """Two network namespaces with a bridge between them, and a program that enters one, as ssh does."""
    mine = os.getpid() % 200 + 20
    bridge, spaces, net = f"tgb{mine}", [f"tga{mine}", f"tgc{mine}"], f"10.123.{mine}"
    if shutil.which("ip") is None:
        pytest.skip("there is no program `ip` to make network namespaces with")

    def ip(*arguments):
        return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

    try:
        try:
            ip("link", "add", bridge, "type", "bridge")
            ip("addr", "add", f"{net}.1/24", "dev", bridge)
            ip("link", "set", bridge, "up")
            for number, space in enumerate(spaces, 2):
                ip("netns", "add", space)
                ip("link", "add", f"{space}v", "type", "veth", "peer", "name", "eth0", "netns", space)
                ip("link", "set", f"{space}v", "master", bridge, "up")
                ip("-n", space, "addr", "add", f"{net}.{number}/24", "dev", "eth0")
                for device in ("eth0", "lo"):
                    ip("-n", space, "link", "set", device, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        enter = tmp_path / "enter"
        enter.write_text(
            "#!/bin/sh\n"
            'while [ "${1#-}" != "$1" ]; do shift; done\n'
            f"case $1 in {net}.2) space={spaces[0]};; *) space={spaces[1]};; esac\n"
            'shift; exec ip netns exec "$space" sh -c "$*"\n'
        )
        enter.chmod(0o755)
        yield (
            [
                *("-launcher", "ssh", "-launcher-exec", str(enter), "-localhost", f"{net}.1"),
                *("-hosts", f"{net}.2,{net}.3", "-genv", "MPIR_CVAR_NOLOCAL", "1"),
                *("-genv", "UCX_TLS", "tcp,self", "-genv", "UCX_NET_DEVICES", "eth0"),
            ],
            spaces,
        )
    finally:
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", bridge], capture_output=True, check=False)


def received(space):
    """How many bytes have come to a network namespace."""
    table = subprocess.run(
        ["ip", "netns", "exec", space, "cat", "/proc/net/dev"], capture_output=True, text=True, check=True
    ).stdout
    return int(re.search(r"eth0: *(\d+)", table)[1])


@pytest.mark.thorough
def test_two_machines(mpiexec, hosts):
    """All cases in two network namespaces; the gradients go through the network between them."""
    options, spaces = hosts
    run_cases(mpiexec, 2, *names(), options=options)
    came = [received(space) for space in spaces]
    assert min(came) > 200_000, came  # without the gradients, it is a tenth of that
