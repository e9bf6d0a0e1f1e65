"""The doctor's exam: every fault gets its code, and healthy trainings get none."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any

import doctor_cases as cases
import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.training.doctor import FAULTS, Doctor, Finding, diagnose, lr_find

FOUND = {code for code, _ in (*cases.FAULTY.values(), *cases.FAILING.values())} | {"cannot-overfit-one-batch"}


@pytest.mark.parametrize("name", cases.FAULTY)
def test_every_fault_is_named(name: str) -> None:
    code, make = cases.FAULTY[name]
    findings = diagnose(**make(), trials=code.startswith("learning-rate"))
    assert code in [finding.code for finding in findings]
    assert len({(finding.code, finding.layer) for finding in findings}) == len(findings)


@pytest.mark.parametrize("name", cases.FAILING)
def test_every_fault_that_shows_in_time_is_named(name: str) -> None:
    code, make = cases.FAILING[name]
    settings = make()
    doctor = Doctor(say=lambda finding: None)
    model, train = settings.pop("model"), settings.pop("train")
    with contextlib.suppress(tg.errors.NonFiniteError):
        tg.training.fit(model, train, rng=0, progress=False, callbacks=doctor, **settings)
    assert code in [finding.code for finding in doctor.findings]


@pytest.mark.parametrize("name", cases.HEALTHY)
def test_healthy_trainings_get_no_finding(name: str) -> None:
    assert diagnose(**cases.HEALTHY[name](), trials=False) == []


@pytest.mark.parametrize("name", ["digits (784, 32, 10) adam", "linear_regression", "autoencoder"])
def test_healthy_trainings_pass_trials(name: str) -> None:
    assert diagnose(**cases.HEALTHY[name]()) == []


@pytest.mark.thorough
@pytest.mark.parametrize("name", cases.HEALTHY)
def test_all_healthy_trainings_pass_trials(name: str) -> None:
    assert diagnose(**cases.HEALTHY[name]()) == []


@pytest.mark.thorough
@pytest.mark.parametrize("name", cases.HEALTHY)
def test_healthy_trainings_get_no_finding_while_they_run(name: str) -> None:
    settings = cases.HEALTHY[name]()
    doctor = Doctor(say=lambda finding: None)
    model, data = settings.pop("model"), settings.pop("data")
    tg.training.fit(model, data, epochs=6, rng=0, progress=False, callbacks=doctor, **settings)
    assert doctor.findings == []


def test_a_network_that_cannot_learn_by_heart() -> None:
    class Forgetful(tg.nn.Module):
        """It adds so much noise that nothing is left of the input."""

        def __init__(self) -> None:
            self.body, self.rng = cases.mlp(4, 16, 3), np.random.default_rng(0)

        def forward(self, x: Any) -> Any:
            return self.body(x) + self.rng.normal(0, 1e3, (len(x), 3)).astype(np.float32)

    codes = [finding.code for finding in diagnose(Forgetful(), cases.blobs())]
    assert "cannot-overfit-one-batch" in codes or "initial-loss" in codes


def test_the_exam_covers_every_code() -> None:
    assert set(FAULTS) == FOUND


def _trained(doctor: list[Doctor], compile: Any) -> dict[str, Any]:
    model = cases.mlp(784, 16, 10, dropout=0.2)
    tg.training.fit(
        model, cases.digits(300), epochs=2, rng=0, progress=False, callbacks=doctor, compile=compile,
        validation=cases.digits(50), optimizer="adam",
    )  # fmt: skip
    return model.state_dict()


@pytest.mark.parametrize("compile", [False, "numpy"])
def test_a_training_is_the_same_with_and_without_a_doctor(compile: Any) -> None:
    watched, alone = _trained([Doctor(say=lambda finding: None)], compile), _trained([], compile)
    for name, value in alone.items():
        np.testing.assert_array_equal(watched[name], value)


def test_nothing_is_changed_by_an_examination() -> None:
    model, (x, y) = cases.mlp(4, 16, 3, dropout=0.5), cases.blobs()
    optimizer = tg.optim.Adam(model.parameters())
    tg.nn.functional.cross_entropy(model(x), y).backward()
    before = copy.deepcopy(
        (
            model.state_dict(),
            [np.asarray(p.grad) for p in model.parameters()],
            vars(model[2])["rng"].bit_generator.state,
        )
    )
    diagnose(model, (x, y), optimizer=optimizer)
    after = (
        model.state_dict(),
        [np.asarray(p.grad) for p in model.parameters()],
        vars(model[2])["rng"].bit_generator.state,
    )
    for name, value in before[0].items():
        np.testing.assert_array_equal(after[0][name], value)
    for g, kept in zip(after[1], before[1], strict=True):
        np.testing.assert_array_equal(g, kept)
    assert after[2] == before[2]
    assert not optimizer.state


def test_a_finding_names_the_users_line() -> None:
    def loss(output: Any, target: Any) -> Any:
        return np.mean((output - target) ** 2)

    x, y = cases.line()
    (finding,) = diagnose(cases.mlp(5, 16, 1), (x, y[:, 0]), loss=loss)
    assert finding.code == "broadcast-in-loss"
    assert "test_doctor.py" in finding.line
    assert "np.mean((output - target) ** 2)" in finding.line
    assert "(300, 1) and (300,) became (300, 300)" in finding.evidence


def test_each_finding_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    doctor = Doctor()
    model = tg.nn.Sequential(cases.mlp(4, 16, 3), tg.nn.Softmax())
    tg.training.fit(model, cases.blobs(), epochs=3, rng=0, progress=False, callbacks=doctor)
    assert capsys.readouterr().err.count("softmax-twice") == 1


def test_lr_find_suggests_a_rate_that_works() -> None:
    model = cases.mlp(784, 32, 10)
    before = model.state_dict()
    found = lr_find(model, cases.digits(), optimizer="sgd")
    assert len(found.rates) == len(found.losses)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    history = tg.training.fit(
        model, cases.digits(), epochs=2, rng=0, progress=False, optimizer=cases.sgd(found.suggestion)
    )
    assert history[-1]["train_loss"] < 1.0
    loader = tg.data.DataLoader(cases.digits(), 32, shuffle=True, rng=0)
    order = loader.rng.bit_generator.state
    lr_find(model, loader, optimizer="sgd", steps=10)
    assert loader.rng.bit_generator.state == order
    with pytest.raises(tg.errors.OptionError, match="low < high"):
        lr_find(model, cases.digits(), low=1, high=0.1)


def test_the_page_tells_of_every_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    for code, fault in FAULTS.items():
        assert f"`{code}`" in page
        assert fault.cure.split(":")[0] in page.replace("\n", " ")
    for finding in map(Finding, FAULTS, FAULTS):
        assert finding.why
        assert finding.cure
