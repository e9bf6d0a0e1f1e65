"""Proof that two implementations compute the same training step, before either is timed."""

from __future__ import annotations

import numpy as np

from .workloads import Build, Problem, Workload

STEPS = 5


def trained(build: Build, workload: Workload, start: Problem) -> tuple[list[float], list[np.ndarray]]:
    """Return the losses of five steps and the weights after them."""
    step, read_weights = build(workload, *start)
    losses = [float(step()) for _ in range(STEPS)]
    return losses, [np.array(w) for w in read_weights()]


def assert_same_training(name: str, build: Build, reference: Build, workload: Workload, start: Problem):
    """Raise AssertionError unless ``build`` trains as ``reference`` does, within float32 rounding.

    What is compared is how far each weight *moved*: a wrong gradient cannot hide behind the size of the
    weights. Since rounding differs, the movements of one parameter may be apart by 0.1 % of their length,
    plus the rounding of the weights themselves, and no single weight by more than 1e-5. (Not so for Adam,
    which makes a full step out of the rounding noise in a gradient that is nearly zero.)
    """
    losses, weights = trained(build, workload, start)
    expected_losses, expected = trained(reference, workload, start)
    where = f"{name} on workload {workload.number} ({workload.title})"
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-4, err_msg=f"losses of {where}")
    assert len(weights) == len(expected), f"{where}: {len(weights)} parameters instead of {len(expected)}"
    for i, (before, got, want) in enumerate(zip(start.weights, weights, expected, strict=True)):
        which = f"parameter {i} of {where}"
        assert got.dtype == np.float32, f"{which}: {got.dtype} instead of float32"
        assert got.shape == want.shape, f"{which}: shape {got.shape} instead of {want.shape}"
        moved = np.linalg.norm(want - before)
        rounding = STEPS * np.finfo(np.float32).eps * np.linalg.norm(before)
        assert moved > 10 * rounding, f"{which} hardly moved: the comparison would prove nothing"
        apart = np.linalg.norm(got - want)
        assert apart <= 1e-3 * moved + rounding, f"{which}: off by {apart / moved:.2%} of its movement"
        if workload.optimizer != "adam":
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=which)
