"""A picture of the first table: dots with quartiles, on a logarithmic axis."""

from __future__ import annotations

from pathlib import Path

COLORS = {
    "eager": "#9ecae1", "compiled": "#08519c", "compiled numba": "#3182bd",
    "autograd": "#bdbdbd", "mygrad": "#737373",
    "torch": "#fdae6b", "torch.compile": "#d94801", "jax.jit": "#31a354",
}  # fmt: skip
MARKERS = {"eager": "o", "compiled": "D", "compiled numba": "s"}  # ours; the others are triangles


def draw(ratios: dict[str, dict[str, tuple[float, float, float]]], file: Path, where: str) -> None:
    """Draw the quartiles of each implementation, by workload, and save them as a PNG 1200 pixels wide.

    Parameters
    ----------
    ratios : dict
        By title of the workload and name of the implementation: lower quartile, median, upper quartile.
    file : Path
        Where the picture goes.
    where : str
        The machine, for the subtitle.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    names = list(next(iter(ratios.values())))
    gap = 1.6  # rows between workloads
    figure = Figure(
        figsize=(12, 1.9 + len(ratios) * (len(names) + gap) * 0.155), dpi=100, layout="constrained"
    )
    axes = figure.subplots()
    middles = []
    for group, by_name in enumerate(ratios.values()):
        top = group * (len(names) + gap)
        middles.append(top + (len(names) - 1) / 2)
        if group % 2 == 0:
            axes.axhspan(top - gap / 2 - 0.5, top + len(names) - 0.5 + gap / 2, color="#f4f4f4", zorder=0)
        for row, (name, (low, middle, high)) in enumerate(by_name.items()):
            style = {"color": COLORS[name], "marker": MARKERS.get(name, "^"), "markersize": 6}
            label = name if group == 0 else None
            axes.plot([low, high], [top + row] * 2, color=COLORS[name], linewidth=2.5, alpha=0.6)
            axes.plot(middle, top + row, linestyle="none", label=label, **style)
            axes.annotate(
                f"{middle:.2f}", (high, top + row), (6, 0), textcoords="offset points", va="center", size=7
            )
    axes.axvline(1, color="black", linewidth=1, linestyle="--")
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 1.1)  # room for the last number
    axes.xaxis.set_major_locator(
        FixedLocator([t for t in (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50) if low < t < high])
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g} ×"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color="#cccccc", linewidth=0.7)
    axes.set_yticks(middles, [label.replace(", ", "\n", 1) for label in ratios])
    axes.set_ylim(middles[-1] + (len(names) + gap) / 2, -gap / 2 - 0.5)  # the first on top
    axes.set_xlabel("time relative to hand-written NumPy (dashed): less is faster")
    figure.suptitle(
        "One training step of seven networks: median and quartiles"
        if len(ratios) == 7
        else "One training step: median and quartiles",
        size=13,
        weight="bold",
    )
    axes.set_title(where, size=8, color="#555555")
    figure.legend(loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    figure.savefig(file)
