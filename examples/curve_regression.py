"""Learn a curve from noisy points, together with its slope.

Small networks are trained side by side, each on its own random selection of the points. Where there are points,
they agree; where there are none, they differ, which shows how far to trust them. Neither the slope of the learned
curve nor that of the true curve is written down: both come from the functions themselves.

    python examples/curve_regression.py --points 80 --noise 0.3
    python examples/curve_regression.py --full --seeds 5
"""

from itertools import pairwise

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.palette import BLUE, INK, ORANGE
from tinygrad_mnist.viz.figures import finish, new_figure, tidy

GRID = np.linspace(-4, 4, 401, dtype=np.float32)
GAP = (0.4, 1.4)
IN_GAP, BEYOND = np.abs(GRID - np.mean(GAP)) < np.ptp(GAP) / 2, np.abs(GRID) > 3
PLACES = {"among the points": ~IN_GAP & ~BEYOND, "in the gap": IN_GAP, "beyond the points": BEYOND}


def true_curve(x):
    return np.sin(2 * x) + x / 3


def measure(points, noise, rng):
    """Return points from -3 to 3, none of them in the gap, and noisy values of the curve there."""
    x = rng.uniform(-3, 3 - np.ptp(GAP), points)
    x = np.where(x < GAP[0], x, x + np.ptp(GAP)).astype(np.float32)
    return x, true_curve(x) + rng.normal(0, noise, points).astype(np.float32)


class Networks(tg.nn.Module):
    """Networks from one number to one number, side by side: their weights have an additional axis."""

    def __init__(self, members=10, neurons=32, seed=0):
        rng = np.random.default_rng(seed)
        sizes = list(pairwise([1, neurons, neurons, 1]))
        self.weights = [tg.nn.Parameter(rng.normal(0, m**-0.5, (members, m, n))) for m, n in sizes]
        self.biases = [tg.nn.Parameter(rng.uniform(-2, 2, (members, 1, n)) / m) for m, n in sizes]

    def forward(self, x):
        """Return each network's outputs, for its own inputs of shape (members, N) or common ones of shape (N,)."""
        y = x[..., np.newaxis]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            y = np.tanh(y @ weight + bias)
        return (y @ self.weights[-1] + self.biases[-1])[..., 0]


def squared_error(y, wanted):
    """Return the mean over the points, summed over the networks, so that each learns independently."""
    return np.sum(np.mean(np.square(y - wanted), axis=1))


def learn(networks, x, y, steps):
    optimizer = tg.optim.Adam(networks.parameters(), lr=0.01)
    schedule = tg.optim.OneCycleLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = squared_error(networks(x), y)
        loss.backward()
        optimizer.step()
        schedule.step()


def plot_curves(x, y, fits, slopes, true, true_slope, *, path=None):
    """Plot the points and the learned curve, and its slope below."""
    figure = new_figure(7.4, 6.4)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 2])
    for axes, lines, truth in ((upper, fits, true), (lower, slopes, true_slope)):
        mean, spread = lines.mean(axis=0), lines.std(axis=0)
        axes.fill_between(GRID, mean - 2 * spread, mean + 2 * spread, color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(GRID, truth, "--", color=INK, linewidth=1.2, label="true")
        axes.plot(GRID, mean, color=BLUE, linewidth=2, label="learned, ± 2 spreads of the networks")
        room = 0.22 * np.ptp(truth)
        axes.set_ylim(truth.min() - room, truth.max() + room)
        tidy(axes)
    upper.plot(x, y, "o", color=ORANGE, markersize=4, alpha=0.8, label="points to learn from")
    upper.set_ylabel("curve", color=INK)
    lower.set_ylabel("slope", color=INK)
    lower.set_xlabel("x", color=INK)
    lower.set_xlim(GRID[0], GRID[-1])
    upper.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left")
    return finish(figure, path)


@experiment()
@click.option(
    "--points", type=click.IntRange(2), default=60, show_default=True, help="Number of points to learn from."
)
@click.option(
    "--noise",
    type=click.FloatRange(0),
    default=0.15,
    show_default=True,
    help="Standard deviation of the noise.",
)
@click.option(
    "--members", type=click.IntRange(2), help="Number of networks.  [default: 10, or 50 with --full]"
)
@click.option("--steps", type=click.IntRange(1), default=2000, show_default=True, help="Number of updates.")
def main(report, full, seeds, points, noise, members, steps):
    members = members or (50 if full else 10)
    everywhere = np.ones_like(GRID)
    true, true_slope = tg.jvp(true_curve, GRID, everywhere)
    measured = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        x, y = measure(points, noise, rng)
        draws = rng.integers(points, size=(members, points))  # with repeats, so the networks differ
        networks = Networks(members, seed=seed)
        learn(networks, x[draws], y[draws], steps)
        with tg.no_grad():
            fits, slopes = tg.jvp(networks, GRID, everywhere)  # both at once, for all networks and all places
        mean, spread = fits.mean(axis=0), fits.std(axis=0)
        measured.append(
            [mean - true, spread, slopes.mean(axis=0) - true_slope, np.abs(mean - true) < 2 * spread]
        )
    error, spread, slope_error, inside = np.array(measured).swapaxes(0, 1)
    found = report.table("Distance from the truth: root mean square")
    for place, where in PLACES.items():
        found.add(
            where=place,
            error=np.sqrt(np.mean(error[:, where] ** 2)),
            spread_of_networks=np.sqrt(np.mean(spread[:, where] ** 2)),
            true_within_two_spreads=f"{np.mean(inside[:, where]):.0%}",
            slope_error=np.sqrt(np.mean(slope_error[:, where] ** 2)),
        )
    given = x, y, fits, slopes, true, true_slope
    report.picture("curve.png", plot_curves, *given, caption=f"The curve and its slope, seed {seed}")
    report.model(networks)


if __name__ == "__main__":
    main()
