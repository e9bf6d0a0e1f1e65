"""The second exam of the doctor: faults in other idioms, and healthy programs; the long part is thorough."""

from __future__ import annotations

import contextlib
from typing import Any

import doctor_fifth as fifth
import doctor_fourth as fourth
import doctor_reports as reports
import doctor_third as third
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.training.doctor import FAULTS, Doctor, diagnose

#: Codes that only trials find.
TRIED = {"learning-rate-too-high", "learning-rate-too-low", "cannot-overfit-one-batch", "labels-out-of-step"}
thorough = pytest.mark.thorough


def some(names: Any, of: int) -> list[Any]:
    """All names; of the slow ones, one in ``of`` belongs to the quick tests."""
    return [name if i % of == 0 else pytest.param(name, marks=thorough) for i, name in enumerate(names)]


@pytest.mark.filterwarnings("ignore:.*is a Tensor with requires_grad, but no Parameter")
@pytest.mark.parametrize("name", some(reports.FAULTY, 6))
def test_every_fault_is_named(name: str) -> None:
    codes, make = reports.FAULTY[name]
    findings = diagnose(**make(), trials=bool(set(codes.split()) & TRIED))
    assert set(codes.split()) & {finding.code for finding in findings}
    assert len({(finding.code, finding.layer) for finding in findings}) == len(findings)


FAILING = {**reports.FAILING, **third.FAILING, **fourth.FAILING, **fifth.FAILING}


@pytest.mark.parametrize("name", some(FAILING, 8))
def test_every_fault_that_shows_in_time_is_named(name: str) -> None:
    codes, make = FAILING[name]
    settings = make()
    doctor = Doctor(say=lambda finding: None)
    model, train = settings.pop("model"), settings.pop("train")
    with contextlib.suppress(tg.errors.NonFiniteError):
        tg.training.fit(model, train, rng=0, progress=False, callbacks=doctor, **settings)
    assert set(codes.split()) & {finding.code for finding in doctor.findings}


@pytest.mark.parametrize("name", some(reports.HEALTHY, 3))
def test_healthy_trainings_get_no_finding(name: str) -> None:
    assert diagnose(**reports.HEALTHY[name](), trials=False) == []


@thorough
@pytest.mark.parametrize("name", reports.HEALTHY)
def test_healthy_trainings_pass_trials(name: str) -> None:
    assert diagnose(**reports.HEALTHY[name]()) == []


@thorough
@pytest.mark.parametrize("name", reports.HEALTHY)
def test_healthy_trainings_get_no_finding_while_they_run(name: str) -> None:
    settings = reports.HEALTHY[name]()
    doctor = Doctor(say=lambda finding: None)
    model, data = settings.pop("model"), settings.pop("data")
    tg.training.fit(model, data, epochs=6, rng=0, progress=False, callbacks=doctor, **settings)
    assert doctor.findings == []


LATER = {**fourth.FAULTY, **fifth.FAULTY}
LATER_HEALTHY = {**fourth.HEALTHY, **fifth.HEALTHY}


@pytest.mark.filterwarnings("ignore:.*is a Tensor with requires_grad, but no Parameter")
@pytest.mark.parametrize("name", some(LATER, 16))
def test_every_fault_of_the_later_exams_is_named(name: str) -> None:
    codes, make = LATER[name]
    if name in fourth.MISSED:
        pytest.skip(fourth.MISSED[name])
    assert set(codes.split()) & {finding.code for finding in diagnose(**make())}


@pytest.mark.parametrize("name", some(LATER_HEALTHY, 24))
def test_healthy_trainings_of_the_later_exams_get_no_finding(name: str) -> None:
    assert diagnose(**LATER_HEALTHY[name]()) == []


@thorough
@pytest.mark.parametrize("name", LATER_HEALTHY)
def test_healthy_trainings_of_the_later_exams_get_no_finding_while_they_run(name: str) -> None:
    settings = LATER_HEALTHY[name]()
    doctor = Doctor(say=lambda finding: None)
    model, data = settings.pop("model"), settings.pop("data")
    tg.training.fit(model, data, epochs=6, rng=0, progress=False, callbacks=doctor, **settings)
    assert doctor.findings == []


def test_the_codes_are_known() -> None:
    for codes, _ in (*reports.FAULTY.values(), *FAILING.values(), *LATER.values()):
        assert set(codes.split()) <= set(FAULTS)


@thorough
@pytest.mark.parametrize("name", third.FAULTY)
def test_every_fault_of_the_third_exam_is_named(name: str) -> None:
    codes, make = third.FAULTY[name]
    assert set(codes.split()) & {finding.code for finding in diagnose(**make())}


@thorough
@pytest.mark.parametrize("name", third.HEALTHY)
def test_healthy_trainings_of_the_third_exam_get_no_finding(name: str) -> None:
    assert diagnose(**third.HEALTHY[name]()) == []
