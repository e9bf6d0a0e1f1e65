"""Draw and Backward in a real browser: a digit drawn with the mouse, a sweep played to its end."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from test_play_browser import Visit, playwright, pytestmark, visit  # noqa: F401  (the fixture, and when to skip)

from tinygrad_mnist.viz.steps.expression import compute


def draw(page: Any, *points: tuple[float, float]) -> None:
    """Draw a line through points, as shares of the pad."""
    box = page.locator(".pad").bounding_box()
    where = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*where[0])
    page.mouse.down()
    for x, y in where[1:]:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("Σ wᵢaᵢ + b = ", ""))


def test_a_digit_is_drawn_and_read(visit: Visit) -> None:  # noqa: F811
    page = visit.open("draw")
    page.wait_for_selector(".pad")
    draw(page, (0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
    page.wait_for_selector('.answer[data-said="7"]')
    shares = [number(text.replace(" %", "")) for text in page.locator(".bar .number").all_text_contents()]
    assert abs(sum(shares) - 100) < 0.6
    assert max(shares) == number(re.sub(r".*, | %", "", page.locator(".answer").text_content()))
    # The neurons of the last layer are the outputs; each is the sum of what its card lists.
    page.locator("button.cell").last.click()
    page.wait_for_selector(".sum")
    cells = [number(text) for text in page.locator(".neuron tbody td:last-child").all_text_contents()]
    assert abs(sum(cells) - number(page.locator(".sum").text_content())) < 0.02
    # Switched off, it changes the accuracy.
    page.locator("#off").click()
    changed = page.locator(".neuron p[data-after]")
    changed.wait_for()
    after, before = map(float, re.findall(r"([\d.]+)\s%", changed.text_content()))
    assert after < before
    # Towards another class, a little of each pixel deceives it.
    page.get_by_role("button", name="As it was").click()
    page.get_by_label("Class", exact=True).select_option(label="3")
    slider = page.get_by_role("slider", name="how far")
    slider.focus()
    slider.press("End")
    page.wait_for_selector('.answer[data-said="3"]')
    assert visit.failures == []
    page.close()


@pytest.mark.thorough
def test_controls_stay_while_numbers_change(visit: Visit) -> None:  # noqa: F811
    """What the keyboard or the mouse holds is not taken away by an answer."""
    page = visit.open("draw")
    page.locator("#sample").click()
    page.wait_for_selector(".answer[data-said]")
    page.locator(".bar").nth(3).press("Enter")
    playwright.expect(page.locator(".bar").nth(3)).to_have_attribute("aria-pressed", "true")
    playwright.expect(page.locator(".bar").nth(3)).to_be_focused()
    page.locator("button.cell").nth(2).press("Enter")
    nudge = page.get_by_role("slider", name="nudge")
    nudge.scroll_into_view_if_needed()
    box = nudge.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for share in (0.6, 0.7, 0.8, 0.9):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        page.wait_for_timeout(150)
    page.mouse.up()
    assert float(nudge.input_value()) > 6
    playwright.expect(page.locator(".neuron p[data-after]")).to_contain_text("without changes")
    playwright.expect(page.locator(".cell.edited")).to_have_count(1)
    assert visit.failures == []
    page.close()


@pytest.mark.thorough
def test_a_digit_is_stepped_through(visit: Visit) -> None:  # noqa: F811
    """From Draw to Backward with one button, on by keys, and back to the same drawing."""
    page = visit.open("draw", color_scheme="dark")
    page.wait_for_selector(".pad")
    draw(page, (0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
    page.wait_for_selector('.answer[data-said="7"]')
    page.locator("#steps").press("Enter")
    player = page.frame_locator("iframe.player")
    player.locator("svg text", has_text="0.weight").first.wait_for()
    playwright.expect(page.locator(".room > p")).to_contain_text("the loss for “7”")
    page.wait_for_function("document.activeElement.tagName === 'IFRAME'")
    page.keyboard.press("b")
    playwright.expect(player.locator("#panel h1")).to_contain_text("Backward: the gradient at")
    assert player.locator("#program h2").text_content() == "The model"
    page.keyboard.press("End")
    assert "Linear(784, 32)" in player.locator("#program .lit").text_content()
    assert player.locator("#graph").evaluate("x => getComputedStyle(x).backgroundColor") == "rgba(0, 0, 0, 0)"
    page.get_by_role("link", name="Draw").press("Enter")
    page.wait_for_selector('.answer[data-said="7"]')
    assert visit.failures == []
    page.close()


@pytest.mark.thorough
def test_a_digit_is_drawn_by_keyboard_on_a_phone_in_the_dark(visit: Visit) -> None:  # noqa: F811
    page = visit.open("draw", 390, color_scheme="dark")
    page.locator(".pad").focus()
    for key, times in (("ArrowUp", 10), (" ", 1), ("ArrowDown", 19), (" ", 1)):
        for _ in range(times):
            page.keyboard.press(key)
    page.wait_for_selector('.answer[data-said="1"]')
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert visit.failures == []
    page.close()


@pytest.mark.thorough
def test_a_sweep_is_played_to_its_end(visit: Visit) -> None:  # noqa: F811
    page = visit.open("backward")
    page.get_by_label("Formula", exact=True).fill("tanh(w * x + b) ** 2")
    page.get_by_label("Values", exact=True).fill("w=0.5 x=1.5 b=-1")
    page.locator("#play-formula").click()
    player = page.frame_locator("iframe.player")
    player.locator("svg text", has_text="tanh").first.wait_for()
    found: dict[str, float] = {}
    steps = int(player.locator("#place").get_attribute("max"))
    for _ in range(steps):
        player.locator("#next").click()
        title = player.locator("#panel h1").text_content()
        if title.startswith("Backward: the gradient at "):
            shown = player.locator("#panel figure").last.locator("td").get_attribute("title")
            found[title.removeprefix("Backward: the gradient at ")] = float(shown.split()[-1])
    result, named = compute("tanh(w * x + b) ** 2", {"w": 0.5, "x": 1.5, "b": -1.0})
    result.backward()
    gradients = {name: float(np.asarray(leaf.grad)) for name, leaf in named.items()}
    assert {name: found[name] for name in gradients} == gradients
    assert player.locator("#program .lit").text_content().strip().endswith("tanh(w * x + b) ** 2")
    assert visit.failures == []
    page.close()
