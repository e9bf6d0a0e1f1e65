"""Fit a curve with SciPy's optimizers, with gradients from the function itself.

A damped oscillation is measured with noise. ``scipy.optimize.minimize`` finds its four parameters
with exact gradients, and again with exact Hessian-vector products. The Hessian at the best fit gives
the error bars.

    pip install 'tinygrad-mnist[scipy]'
    python examples/minimize.py
"""

import numpy as np
from scipy.optimize import minimize

import tinygrad_mnist as tg

NAMES = ["amplitude", "decay", "frequency", "phase"]
TRUE = np.array([2.0, 0.3, 4.0, 0.5])
NOISE = 0.1


def oscillation(p, t):
    amplitude, decay, frequency, phase = p
    return amplitude * np.exp(-decay * t) * np.sin(frequency * t + phase)


def misfit(p, t, measured):
    """Half the sum of squares, in units of the noise: minus the logarithm of the likelihood."""
    return np.sum(((oscillation(p, t) - measured) / NOISE) ** 2) / 2


def main(seed=0):
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 6, 120)
    measured = oscillation(TRUE, t) + rng.normal(scale=NOISE, size=t.size)
    start = np.array([1.0, 0.1, 3.8, 0.0])

    fit = minimize(tg.value_and_grad(misfit), start, args=(t, measured), jac=True, method="BFGS")
    again = minimize(
        misfit,
        start,
        args=(t, measured),
        method="trust-ncg",
        jac=tg.grad(misfit),
        hessp=lambda p, v, t, measured: tg.hvp(lambda q: misfit(q, t, measured), p, v),
    )
    errors = np.sqrt(np.diag(np.linalg.inv(tg.hessian(misfit)(fit.x, t, measured))))

    for name, value, error, true in zip(NAMES, fit.x, errors, TRUE, strict=True):
        print(f"{name:<10} {value:6.3f} ± {error:.3f}   (true {true:.3f})")
    print(f"BFGS: {fit.nfev} evaluations; trust region with Hessian-vector products: {again.nfev}")
    return fit.x, again.x, errors


if __name__ == "__main__":
    main()
