"""Convolutions row by row: against sums over the elements of a window, for random sizes and small blocks."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist.nn import functional as F  # noqa: N812
from tinygrad_mnist.ops import kernels, row_kernels


def draw(rng):
    """Random images, weights, gradients and settings, or None where no window fits."""
    groups = int(rng.choice([1, 1, 2, 3]))
    channels, features = groups * rng.integers(1, 4, 2)
    kernel, stride = rng.integers(1, 5, 2), rng.integers(1, 4, 2)
    dilation = 1, int(rng.integers(1, 4))
    padding, size = rng.integers(0, 4, (2, 2)), rng.integers(1, 8, 2)
    reach = dilation * (kernel - 1) + 1
    windows = (size + padding.sum(1) - reach) // stride + 1
    if (windows < 1).any():
        return None
    images = int(rng.choice([0, 1, 2, 5]))
    x, w, g = (
        rng.normal(size=shape)
        for shape in (
            (channels, *size, images), (features, channels // groups, *kernel), (features, *windows, images)
        )
    )  # fmt: skip
    whole = tuple(map(tuple, padding.tolist()))
    return (
        x,
        w,
        g,
        {"stride": tuple(stride.tolist()), "padding": whole, "dilation": dilation, "groups": groups},
    )


def by_definition(x, w, g, stride, padding, dilation, groups):
    """The convolution, the gradient of the images and that of the weights."""
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    y, dx, dw = np.zeros_like(g), np.zeros_like(padded), np.zeros_like(w)
    for f, own, i, j in np.ndindex(w.shape):
        channel = f // (len(w) // groups) * w.shape[1] + own
        starts = i * dilation[0], j * dilation[1]
        rows, columns = (
            slice(start, start + (n - 1) * step + 1, step)
            for start, n, step in zip(starts, g.shape[1:3], stride, strict=True)
        )
        part = padded[channel, rows, columns]
        y[f] += w[f, own, i, j] * part
        dx[channel, rows, columns] += w[f, own, i, j] * g[f]
        dw[f, own, i, j] = np.sum(part * g[f])
    (top, _), (left, _) = padding
    return y, dx[:, top : top + x.shape[1], left : left + x.shape[2]], dw


def test_convolutions_of_all_sizes(monkeypatch):
    rng, tried = np.random.default_rng(0), 0
    while tried < 150:
        if (drawn := draw(rng)) is None:
            continue
        x, w, g, settings = drawn
        monkeypatch.setattr(row_kernels, "LOWERED", int(rng.choice([1, 2000, 1 << 22])))
        monkeypatch.setattr(row_kernels, "FEWEST", int(rng.choice([2, 8, 64])))
        monkeypatch.setattr(row_kernels, "NEAREST", int(rng.choice([1, 40_000])))
        monkeypatch.setattr(row_kernels, "SMALL", int(rng.choice([50, 1000, 1_000_000])))
        wanted = by_definition(x, w, g, **settings)
        for outs in ((None,) * 3, [np.full_like(a, np.nan) for a in wanted]):
            found = (
                kernels.correlate(x, w, **settings, out=outs[0]),
                kernels.spread(g, w, x.shape[1:3], **settings, out=outs[1]),
                kernels.filters(x, g, w.shape[2:], **settings, out=outs[2]),
            )
            for a, b, out in zip(found, wanted, outs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10, err_msg=str(settings))
                assert out is None or a is out
        tried += 1


def test_float32_stays_float32():
    x, w = np.ones((2, 4, 4, 3), np.float32), np.ones((2, 2, 3, 3), np.float32)
    y = kernels.correlate(x, w)
    assert y.dtype == np.float32
    assert kernels.spread(y, w, (4, 4)).dtype == np.float32
    assert kernels.filters(x, y, (3, 3)).dtype == np.float32


@pytest.mark.thorough
@pytest.mark.filterwarnings("error")  # such as that it runs as NumPy calls
def test_machine_code_of_convolutions():
    pytest.importorskip("numba")
    rng, cases = np.random.default_rng(0), []
    while len(cases) < 4:
        if (drawn := draw(rng)) is None or not drawn[0].size:
            continue
        x, w, _, settings = drawn
        dilation = int(rng.integers(1, 3)), int(rng.integers(1, 3))
        padding = tuple(before for before, _ in settings["padding"])
        size = [n + 2 * p for n, p in zip(x.shape[1:3], padding, strict=True)]
        if all(n >= d * (k - 1) + 1 for n, k, d in zip(size, w.shape[2:], dilation, strict=True)):
            images = np.ascontiguousarray(x.transpose(3, 0, 1, 2))
            cases.append((images, w, {**settings, "dilation": dilation, "padding": padding}))

    def total(xs, ws):
        return sum(
            np.sum(np.tanh(F.conv2d(x, w, **settings)))
            + np.sum(np.sin(F.conv2d(x, w, padding="same", groups=settings["groups"])))
            for x, w, (_, _, settings) in zip(xs, ws, cases, strict=True)
        )

    xs, ws = [case[0] for case in cases], [case[1] for case in cases]
    gradient = tg.grad(total, (0, 1))
    found, wanted = tg.compile(gradient, backend="numba")(xs, ws), gradient(xs, ws)
    for a, b in zip([*found[0], *found[1]], [*wanted[0], *wanted[1]], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
