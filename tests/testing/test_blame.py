"""check_graph: which operation of a recorded graph has a wrong gradient."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import for_each

import tinygrad_mnist as tg
from tinygrad_mnist.errors import GradcheckError, GradientError
from tinygrad_mnist.nn import functional as F  # noqa: N812
from tinygrad_mnist.testing import check_graph


def leaf(values, dtype=np.float64):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


@tg.primitive(samples=[((3,),)])
def almost_cube(x, /):
    return x**3


almost_cube.vjp(lambda g, y, x: g * np.where(x > 1, 3 * x**2 + x, 3 * x**2))  # wrong above 1


def blamed(loss) -> str:
    with pytest.raises(GradcheckError) as raised:
        check_graph(loss)
    return str(raised.value)


def test_a_network_is_right():
    model = tg.nn.MLP([5, 6, 4], activation="relu", rng=0)
    rng = np.random.default_rng(0)
    loss = F.cross_entropy(model(rng.random((7, 5), np.float32)), rng.integers(0, 4, 7))
    report = check_graph(loss)
    assert report.operations >= 4
    assert report.inputs >= 7
    assert 0 < report.worst < 1e-6
    assert report.kinks == []
    assert str(report).startswith(f"{report.operations} operations, {report.inputs} inputs: all rules agree")
    loss.backward()  # the graph is left as it was
    assert all(p.grad is not None for p in model.parameters())


def test_the_wrong_operation_its_line_and_the_worst_element_are_named():
    x = leaf([0.5, 2.0, 4.0, 3.0])
    y = np.sin(x)
    z = almost_cube(x)  # to blame
    text = blamed(np.sum(y * z))
    assert "1 wrong in 4 operations" in text
    assert (
        "almost_cube, argument x at [2]: the slope of the result at [2] is 52 by its rule, 48 by finite"
        in text
    )
    assert "test_blame.py" in text
    assert "z = almost_cube(x)  # to blame" in text
    assert "sin" not in text


def test_the_module_is_named():
    class Strange(tg.nn.Module):
        def forward(self, x):
            return almost_cube(x)

    class Net(tg.nn.Module):
        def __init__(self):
            self.layers = [tg.nn.Linear(2, 2, rng=0), Strange()]

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    net = Net()
    with tg.no_grad():
        net.layers[0].bias[...] = 5.0
    text = blamed(np.sum(net(np.ones((1, 2), np.float32))))
    assert "in the module layers.1.Strange" in text or "layers.1.Strange" in text
    assert "return almost_cube(x)" in text


def test_several_wrong_operations_are_all_named():
    x = leaf([2.0])
    text = blamed(np.sum(almost_cube(x) + almost_cube(x * 2)))
    assert "2 wrong in" in text
    assert text.count("almost_cube, argument x at [0]") == 2


@pytest.mark.parametrize("size", [300, 100_000])
def test_one_wrong_element_of_a_large_array_is_found(size):
    values = np.full(size, 0.5)
    values[size - 77] = 2.0
    assert f"at [{size - 77}]" in blamed(np.sum(almost_cube(leaf(values))))


def test_wrong_shapes_and_nan_and_zero_are_wrong_too():
    def broken(rule):
        @tg.primitive(samples=[((2,),)])
        def f(x, /):
            return 2 * x

        f.vjp(rule)
        return f

    assert "is nan by its rule, 2 by" in blamed(np.sum(broken(lambda g, y, x: g * np.nan)(leaf([1.0, 2.0]))))
    assert "is 0 by its rule, 2 by" in blamed(np.sum(broken(lambda g, y, x: 0.0)(leaf([1.0, 2.0]))))
    assert "by its rule" in blamed(np.sum(broken(lambda g, y, x: np.sum(g) * 2)(leaf([1.0, 2.0]))))


# -- kinks ---------------------------------------------------------------------------------------

KINKS = [
    ("relu at 0", lambda x: F.relu(x), [0.0, 1.0], (0,)),
    ("beside 0", lambda x: F.relu(x), [1.0, 3e-7], (1,)),
    ("leaky", lambda x: F.leaky_relu(x), [-1.0, 0.0], (1,)),
    ("clip", lambda x: np.clip(x, 0, 1), [0.5, 1.0], (1,)),
    ("maximum against a constant", lambda x: np.maximum(x, np.array([0.0, 0.9999997])), [5.0, 1.0], (1,)),
    ("max beside a tie", lambda x: np.max(x), [2.0, 2.0 + 4e-7], None),
    ("sort beside a tie", lambda x: np.sort(x)[1], [2.0, 3.0, 3.0 + 4e-7, 2.0 + 4e-7], None),
    ("abs beside 0", lambda x: np.abs(x), [2e-7, 1.0], (0,)),
]


@for_each("f, x, element", [pytest.param(*case[1:], id=case[0]) for case in KINKS])
def test_a_kink_is_no_mistake(f, x, element):
    report = check_graph(np.sum(f(leaf(x))))
    assert len(report.kinks) == 1
    assert element is None or report.kinks[0].element == element
    assert "kink: " in str(report)
    assert "test_blame.py" in report.kinks[0].line


def test_a_wrong_slope_at_a_kink_is_a_mistake():
    @tg.primitive(samples=[((2,),)])
    def bad_relu(x, /):
        return np.maximum(x, 0)

    bad_relu.vjp(lambda g, y, x: g * (x > 0) + g * 3 * (x == 0))
    assert "bad_relu, argument x at [0]: " in blamed(np.sum(bad_relu(leaf([0.0, 1.0]))))


def test_a_mistake_beside_a_kink_is_found_as_well():
    @tg.primitive(samples=[((2,),)])
    def bad_relu(x, /):
        return np.maximum(x, 0)

    bad_relu.vjp(lambda g, y, x: g * (x > 0) * 1.5)
    assert "bad_relu, argument x at [1]" in blamed(np.sum(bad_relu(leaf([0.0, 1.0]))))


def test_strong_curvature_is_no_mistake():
    assert check_graph(np.sum(np.log(leaf([1e-3, 1.0])) + np.exp(leaf([8.0, 1.0])))).kinks == []


# -- what else it meets --------------------------------------------------------------------------


def test_an_array_changed_in_the_meantime_is_found():
    x, batch = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    loss = np.sum(x * batch)
    batch[:] = 0
    text = blamed(loss)
    assert "multiply: its inputs no longer give the recorded value; an array was changed" in text
    assert "loss = np.sum(x * batch)" in text


def test_freed_and_untracked_graphs():
    x = leaf([1.0])
    loss = np.sum(x * x)
    loss.backward()
    with pytest.raises(GradientError, match=r"was freed by backward.*retain_graph=True"):
        check_graph(loss)
    with pytest.raises(GradientError, match="untracked"):
        check_graph(tg.Tensor(1.0))


def test_operations_of_every_kind():
    a, z = leaf([[2.0, 1.0], [0.5, 3.0]]), tg.tensor([1 + 2j, 0.5 - 1j], requires_grad=True)
    parts = np.split(a, 2)
    loss = (
        np.sum(np.linalg.inv(a) @ parts[0][0])
        + np.real(np.sum(np.fft.fft(z) * z))
        + np.sum(np.abs(z)) * np.sum(np.stack(parts)[:, 0, 1] ** 2)
        + np.sum(a[[0, 0, 1], 1])
        + np.sum(tg.checkpoint(lambda x: np.tanh(x) * x)(a))
    )
    report = check_graph(loss)
    assert report.kinks == []
    assert report.operations > 15


def test_what_is_too_coarse_is_said_not_hidden():
    x = leaf([1.0, 2.0])
    report = check_graph(np.sum(x.astype(np.float32) * 2))
    assert report.skipped == ["astype: its result is float32, too coarse for finite differences"]
    assert "not checked: astype" in str(report)


def test_it_leaves_no_trace():
    x = leaf([1.0, 2.0])
    loss = np.sum(np.exp(x))
    check_graph(loss)
    assert x.grad is None
    loss.backward()
    np.testing.assert_allclose(x.grad.data, np.exp([1.0, 2.0]))


# -- numbers of all sizes ------------------------------------------------------------------------

CURVES = [
    np.log, np.square, np.sqrt, np.abs, np.linalg.norm, np.var, np.sum,
    lambda x: 1 / x, lambda x: x * 3, lambda x: x**3, lambda x: np.maximum(x, 0),
]  # fmt: skip


@for_each("f", CURVES)
@for_each("size", [1e-100, 1e-12, 1e-6, 1e3, 1e6, 1e12, 1e100])
def test_no_right_rule_is_blamed_for_the_size_of_its_numbers(f, size):
    check_graph(np.sum(f(leaf([size, 1.5 * size]))))


def primitive(forward, *rules, **how):
    return tg.primitive(**how)(forward).vjp(*rules)


@pytest.mark.parametrize("structure", ["", "elementwise"])
@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_wrong_rules_are_found_whatever_the_size_of_their_numbers(size, structure):
    f = primitive(lambda x, /: x**2 * size, lambda g, y, x: g * 2.01 * x * size, jvp=structure)
    for values in ([size, 2 * size], [1.0, 2.0]):
        assert "argument x at [1]: the slope of the result at [1] is" in blamed(np.sum(f(leaf(values))))


def test_a_small_wrong_slope_beside_a_large_right_one():
    scale = np.array([1e12, 1.0])
    f = primitive(lambda x, /: x * scale, lambda g, y, x: g * np.where(scale > 1, scale, 2))
    assert "at [1]: the slope of the result at [1] is 2 by its rule, 1 by" in blamed(
        np.sum(f(leaf([1.0, 1.0])))
    )
    mean = primitive(
        lambda x, /: np.mean(x), lambda g, y, x: g / x.size * (1 + 0.01 * (np.arange(x.size) == 77))
    )
    assert "argument x at [77]" in blamed(mean(leaf(np.linspace(-1, 1, 100_000))))


def test_steep_but_smooth_is_no_kink():
    for factor in (1.0, 1.1):
        f = primitive(lambda x, /: np.tanh(1e6 * x), lambda g, y, x, s=factor: g * s * 1e6 * (1 - y * y))
        loss = np.sum(f(leaf([0.0, 1e-7])))
        if factor == 1:
            assert check_graph(loss).kinks == []
        else:
            assert "1.1e+06 by its rule, 1e+06 by finite differences" in blamed(loss)


# -- more kinks ----------------------------------------------------------------------------------


@for_each(
    "f, x",
    [
        (np.abs, [0.0, 1.0]),
        (np.max, [2.0, 2.0]),
        (np.linalg.norm, [0.0, 0.0]),
        (lambda x: np.maximum(x, 1.0), [1.0, 2.0]),
        (lambda x: x % 1.0, [1.0, 0.5]),
        (np.sqrt, [0.0, 1.0]),
        (np.cbrt, [0.0, 1.0]),
        (np.arccos, [1.0, 0.5]),
    ],
)
def test_kinks_are_listed_where_the_rule_is_the_mean_of_both_sides_or_infinite(f, x):
    report = check_graph(np.sum(f(leaf(x))))
    assert [kink.element for kink in report.kinks] == [(0,)]


def test_ties_of_many_are_kinks():
    for f in (np.sort, np.cumsum, np.max, lambda x: np.partition(x, 7)):
        check_graph(np.sum(f(leaf(np.zeros(50)))))


@pytest.mark.thorough
@pytest.mark.parametrize("structure", ["", "elementwise"])
def test_a_mistake_among_many_kinks_is_found(structure):
    rule = lambda g, y, x: g * (x > 0) * np.where(x > 2.5, 1.1, 1)  # noqa: E731
    bad_relu = primitive(lambda x, /: np.maximum(x, 0), rule, jvp=structure)
    x = np.linspace(-2, 2, 20_000)
    x[5000:15_000] = 0
    x[-3] = 3.0
    assert "argument x at [19997]" in blamed(np.sum(bad_relu(leaf(x))))


@pytest.mark.thorough
def test_more_kinks_than_can_be_looked_at_are_counted():
    report = check_graph(np.sum(F.relu(leaf(np.zeros(20_000)))))
    assert len(report.kinks) == 1
    assert report.skipped == ["relu, argument x: 10000 or more elements near kinks"]


# -- rules that are wrong in other ways ----------------------------------------------------------


def test_the_imaginary_part_is_checked_too():
    f = primitive(lambda z, /: np.imag(z), lambda g, y, z: g * 1j)
    assert "argument z at [0]" in blamed(np.sum(f(tg.tensor([1 + 2j], requires_grad=True))))


def test_rules_that_write_into_what_they_are_given_and_rules_that_fail():
    def doubles(g, y, x):
        g *= 2
        return g

    def moves(g, y, x):
        x += 1
        return g

    for rule, why in [
        (doubles, "read-only"), (moves, "read-only"), (lambda g, y, x: g.nonsense, "nonsense"),
        (lambda g, y, x: np.ones(7), r"a gradient of shape \(7,\) does not fit"),
    ]:  # fmt: skip
        f = primitive(lambda x, /: x * 1, rule, name="strange")
        with pytest.raises(
            GradcheckError, match=rf"strange, argument x: its rule fails: .*{why}[^\n]*\n +at .*test_blame"
        ):
            check_graph(np.sum(f(leaf([1.0, 2.0]))))


def test_a_rule_that_refuses_is_reported_as_not_checked():
    values = tg.tensor(np.eye(2), requires_grad=True)
    report = check_graph(np.sum(np.linalg.eigh(values)[1]))
    assert any(
        text.startswith("eigh, argument a: eigh: eigenvalues 0 and 1 coincide") for text in report.skipped
    )


def test_a_random_operation_is_told():
    rng = np.random.default_rng(0)
    f = primitive(lambda x, /: x * rng.random(), lambda g, y, x: g)
    assert "or it draws random numbers" in blamed(np.sum(f(leaf([1.0]))))


def test_operations_that_read_a_triangle_of_a_symmetric_matrix():
    m = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 5.0]])
    for f in (np.linalg.cholesky, np.linalg.eigvalsh, lambda a: np.linalg.pinv(a, hermitian=True)):
        assert check_graph(np.sum(f(leaf(m)) ** 2)).kinks == []
    z = tg.tensor(m + 1j * (np.triu(m, 1) - np.tril(m, -1)), requires_grad=True)
    assert check_graph(np.real(np.sum(np.linalg.cholesky(z) * (1 + 2j)))).kinks == []
    # A transposed gradient is none the less wrong.
    f = primitive(lambda x, /: np.tril(x), lambda g, y, x: np.triu(g))
    assert "at [0, 1]" in blamed(np.sum(f(leaf(np.eye(2)))))
    f = primitive(lambda x, w, /: x @ w, lambda g, y, x, w: g @ w.T, lambda g, y, x, w: (x.T @ g).T)
    assert "argument w" in blamed(np.sum(f(leaf(m * [1, 2, 3]), leaf(np.zeros((3, 3))))))


# -- checkpoints, NaN and infinity ---------------------------------------------------------------


def test_it_looks_into_checkpoints():
    w = leaf([2.0, 3.0])
    report = check_graph(np.sum(tg.checkpoint(lambda x: np.sin(x) * w)(leaf([0.5, 2.0]))))
    assert report.operations == 6
    assert report.skipped == []
    text = blamed(np.sum(tg.checkpoint(lambda x: almost_cube(x) * w)(leaf([0.5, 2.0]))))
    assert "almost_cube, argument x at [1]" in text
    assert "checkpoint(lambda x: almost_cube(x) * w)" in text


def test_elements_without_a_value_do_not_disturb_the_others():
    with np.errstate(all="ignore"):
        for f in (np.log, lambda x: np.log(x) * 2, lambda x: np.where(x > 0, x, -np.inf)):
            check_graph(np.sum(f(leaf([0.0, 2.0]))))
        check_graph(np.nansum(leaf([1.0, np.nan, 3.0]) ** 2))
        bad_log = primitive(lambda x, /: np.log(x), lambda g, y, x: 2 * g / x)
        text = blamed(np.sum(bad_log(leaf([0.0, 2.0]))))
        assert "argument x at [1]: the slope of the result at [1] is 1 by its rule, 0.5 by" in text
    assert (
        check_graph(
            np.sum(F.softmax(np.where([True, False, True], leaf([1.0, 2.0, 3.0]), -np.inf)) ** 2)
        ).kinks
        == []
    )


@pytest.mark.parametrize(
    ("size", "factor", "is_right"),
    [(1e9, 1.0, True), (1e9, 1.1, False), (1e12, 1.0, True), (1e12, 1.5, False)],
)
def test_a_slope_below_the_rounding_of_short_steps(size, factor, is_right):
    """At 1e9 the last bit is 1e-7, so that only long steps tell a slope of 1 from one of 1.1."""

    @tg.primitive()
    def offset(x, /):
        return x + size

    offset.vjp(lambda g, y, x: factor * g)
    loss = np.sum(offset(leaf([0.5, 0.25])))
    if is_right:
        check_graph(loss)
    else:
        with pytest.raises(GradcheckError, match="offset"):
            check_graph(loss)


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_slope_that_only_few_steps_show(factor):
    """Longer steps cross the waves, shorter ones fall below the last bit, which is 1e-4."""
    waves = primitive(
        lambda x, /: np.sin(1000 * x) + 1e12, lambda g, y, x: factor * 1000 * g * np.cos(1000 * x)
    )
    loss = np.sum(waves(leaf([0.0, 0.25])))
    if factor == 1:
        report = check_graph(loss)
        assert (report.kinks, report.skipped) == ([], [])
    else:
        assert "by its rule" in blamed(loss)


@pytest.mark.parametrize("size", [0.006, 0.01])
def test_a_right_rule_is_not_blamed_for_noise(size):
    """No step is right to a tenth: the slopes that differ from the rule by more than that prove nothing."""

    def noise(x):
        return (x.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)) / 2**24 - 0.5

    noisy = primitive(lambda x, /: x + size * noise(x), lambda g, y, x: g * np.ones(x.shape))
    check_graph(np.sum(noisy(leaf(np.linspace(0.1, 0.9, 9)))))


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_slope_at_a_tie_is_one_that_occurs_nearby(factor):
    """Near a tie, sorting gives each element one of the slopes from 1 to 2; more than twice that is a mistake."""
    weights = np.linspace(1, 2, 12)
    sort = primitive(lambda x, /: np.sort(x), lambda g, y, x: factor * g)
    loss = np.sum(sort(leaf(np.zeros(12))) * weights)
    if factor == 1:
        assert len(check_graph(loss).kinks) == 1
    else:
        assert "argument x at [9]" in blamed(loss)


def test_a_steep_fourth_power_is_no_kink():
    """Over short steps, slopes to both sides differ by a hundred thousandth of their size, but go on to meet."""
    steep = primitive(lambda x, /: x + 1e13 * x**4, lambda g, y, x: g * (1 + 4e13 * x**3))
    assert check_graph(np.sum(steep(leaf([0.0])))).kinks == []


def test_a_missing_slope_is_missed_however_small_it_is():
    small = primitive(lambda x, /: 1e-30 * x, lambda g, y, x: np.zeros(x.shape))
    assert "is 0 by its rule, 1e-30 by finite differences" in blamed(np.sum(small(leaf([0.5, 0.25]))))


def test_a_slope_without_end_is_a_kink():
    """The slope of a cube root at 0 is infinite; a rule may say 0 there, as that of a norm does."""

    @tg.primitive()
    def cube_root(x, /):
        return np.cbrt(x)

    def rule(g, y, x):
        with np.errstate(divide="ignore"):
            return g * np.where(x == 0, 0, 1 / (3 * y * y))

    cube_root.vjp(rule)
    report = check_graph(np.sum(cube_root(leaf([0.0, 1.0]))))
    assert [(kink.operation, kink.element) for kink in report.kinks] == [("cube_root", (0,))]
    assert report.skipped == []
