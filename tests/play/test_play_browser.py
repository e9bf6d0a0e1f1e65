"""The page in a real browser: by mouse, by keyboard only, on a phone, and without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
playwright.expect.set_options(timeout=40_000)  # other tests run at the same time


class Visit:
    """A browser, and a server of its own."""

    def __init__(self, browser: Any, address: str) -> None:
        self.browser, self.address = browser, address
        self.failures: list[str] = []
        self.requests: list[str] = []

    def open(self, room: str, width: int = 1280, **settings: Any) -> Any:
        page = self.browser.new_page(viewport={"width": width, "height": 800}, **settings)
        page.set_default_timeout(40_000)
        page.on("pageerror", lambda error: self.failures.append(str(error)))
        page.on(
            "console",
            lambda said: self.failures.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(f"{self.address}#{room}")
        return page


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    command = [sys.executable, "-m", "tinygrad_mnist", "play", "--no-open"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path_factory.mktemp("play"),
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as started:
        assert started.stdout is not None
        address = started.stdout.readline().strip()
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            yield Visit(browser, address)
            browser.close()
        started.send_signal(2)
        assert started.wait(20) in (0, 130)


def remove_all(page: Any) -> None:
    """Take all trainings off the page."""
    page.locator(".run, .drawer:not([hidden])").first.wait_for()  # it asks first which there are
    while count := page.locator(".run").count():
        page.get_by_label("Remove run").first.click()
        playwright.expect(page.locator(".run")).to_have_count(count - 1)


@pytest.mark.thorough
def test_train_pause_scrub_fork_and_repeat(visit: Visit, tmp_path: Path) -> None:
    """All of it by the keyboard."""
    page = visit.open("train")
    page.get_by_label("Epochs").fill("3")
    page.get_by_label("paused before the first step").press("Space")
    page.get_by_role("button", name="Start").press("Enter")
    where = page.locator(".transport output")
    page.wait_for_selector('.state[data-state="paused"]')
    page.get_by_role("button", name="One step").press("Enter")
    playwright.expect(where).to_contain_text("step 1 of 171")
    page.locator("h1").click()
    page.keyboard.press("s")
    playwright.expect(where).to_contain_text("step 2 of 171")
    page.keyboard.press("Space")
    page.wait_for_selector('.state[data-state="done"]')
    playwright.expect(where).to_contain_text("step 171 of 171 · epoch 3 of 3")
    # Back in time, by keys: the picture of the weights is that of then.
    scrub = page.get_by_label("Step", exact=True)
    scrub.focus()
    page.keyboard.press("Home")
    playwright.expect(where).to_contain_text("step 0 of 171 · epoch 1 of 3 · the past")
    playwright.expect(page.locator(".first figcaption")).to_contain_text("step 0")
    for _ in range(5):
        page.keyboard.press("PageUp")
    playwright.expect(where).to_contain_text("the past")
    page.get_by_role("button", name="Repeat as it was").press("Enter")
    playwright.expect(page.locator('.state[data-state="done"]')).to_have_count(2)
    ends = page.evaluate(
        """async () => {
            const token = new URLSearchParams(location.search).get("token");
            const socket = new WebSocket(`ws://${location.host}/socket?token=${token}`);
            await new Promise((resolve) => { socket.onopen = resolve; });
            const found = [];
            for (const run of ["run 1", "run 2"]) {
                socket.send(JSON.stringify({ id: 1, room: "train", do: "news", with: { run, event: 0, step: 0 } }));
                const answer = await new Promise((resolve) => {
                    socket.onmessage = ({ data }) => { const x = JSON.parse(data); if (x.id) resolve(x.result); };
                });
                found.push([answer.losses.bytes, answer.events.filter((x) => x.what === "epoch").map((x) => x.digest)]);
            }
            socket.close();
            return found;
        }"""
    )
    assert ends[0] == ends[1]
    assert len(ends[0][1]) == 3
    # The matrix filters the mistakes; arrows move in it.
    page.locator(".mistakes figure").first.wait_for()
    cell = page.locator(".matrix button").first
    cell.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("section.wrong")).to_contain_text("0 is taken for 1")
    with page.expect_download() as download:
        page.get_by_role("button", name="Run folder").press("Enter")
    path = tmp_path / "run.zip"
    download.value.save_as(path)
    assert any(name.endswith("model.safetensors") for name in zipfile.ZipFile(path).namelist())
    with page.expect_download() as download:
        page.get_by_role("button", name="Replay, one file").press("Enter")
    replay = tmp_path / "replay.html"
    download.value.save_as(replay)
    page.close()
    # A phone sees the same, from the side of its thumb.
    phone = visit.open("train", width=360, has_touch=True, is_mobile=True, color_scheme="dark")
    playwright.expect(phone.locator('.state[data-state="done"]')).to_have_count(2)
    phone.locator(".mistakes figure").first.wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    phone.close()
    alone = visit.browser.new_page(offline=True)
    alone.on("pageerror", lambda error: visit.failures.append(str(error)))
    alone.goto(replay.as_uri())
    alone.get_by_label("Step", exact=True).focus()
    alone.keyboard.press("End")
    playwright.expect(alone.locator("output")).to_contain_text("step 171 of 171")
    alone.close()
    assert visit.failures == []


@pytest.mark.thorough
def test_a_broken_training_and_its_cure(visit: Visit) -> None:
    page = visit.open("train?broken=dead-units")
    page.locator("h1").wait_for()
    remove_all(page)
    playwright.expect(page.get_by_label("What somebody did")).to_have_value("dead-units")
    page.get_by_role("button", name="Train it").press("Enter")
    playwright.expect(page.locator(".finding h3").first).to_contain_text("dead-units")
    playwright.expect(page.locator(".finding.looks")).to_contain_text("The loss stays at ln 10")
    page.get_by_role("button", name="Train the mended one beside it").press("Enter")
    playwright.expect(page.locator('.state[data-state="done"]')).to_have_count(2)
    playwright.expect(page.locator(".finding h3").first).to_contain_text(
        "dead-units"
    )  # it stays beside its cure
    page.locator(".chip").nth(1).press("Enter")
    playwright.expect(page.locator("section.doctor")).to_contain_text("No findings.")
    playwright.expect(page.get_by_role("button", name="Replay, one file")).to_be_visible()
    playwright.expect(page.get_by_role("button", name="Run folder")).to_be_hidden()
    remove_all(page)
    page.close()
    assert visit.failures == []


@pytest.mark.thorough
def test_a_closed_tab_stops_nothing_and_a_phone_shows_it(visit: Visit) -> None:
    page = visit.open("train", width=360, has_touch=True, is_mobile=True, color_scheme="dark")
    first = page.get_by_role("button", name=re.compile("^(Start|New training)$")).first
    if first.text_content() != "Start":
        first.tap()
    page.get_by_label("Epochs").fill("4")
    page.get_by_role("button", name="Start").tap()
    page.locator(".state").last.wait_for()
    name = page.locator(".run b").last.text_content()
    page.close()
    page = visit.open("train", width=360)
    mine = page.locator(".run", has_text=name)
    playwright.expect(mine.locator('.state[data-state="done"]')).to_have_count(1)
    mine.get_by_role("button").first.click()
    page.locator(".mistakes figure").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
    assert visit.failures == []


def test_nothing_comes_from_elsewhere_and_a_wrong_token_is_said(visit: Visit) -> None:
    page = visit.open("train")
    page.locator("h1").wait_for()
    page.close()
    host = re.match(r"http://[^/]+/", visit.address)
    assert host is not None
    assert {url for url in visit.requests if not url.startswith((host[0], "data:", "blob:"))} == set()
    assert visit.failures == []
    page = visit.browser.new_page()
    answer = page.goto(visit.address.partition("?")[0] + "?token=x")
    assert answer.status == 403
    assert "the token is missing or wrong" in page.content()
    page.close()


@pytest.mark.thorough
def test_plane(visit: Visit) -> None:
    """Points are chosen, trained on, painted, and the address gives the same again."""
    page = visit.open("plane?data=circles&hidden=5&noise=0")
    output = page.locator("canvas.output")
    count = page.locator(".controls output")
    playwright.expect(count).to_have_text("step 0")
    page.get_by_label("Speed").select_option("0")
    page.get_by_role("button", name="Play").press("Enter")
    playwright.expect(page.locator(".numbers dd").last).to_have_text(re.compile(r"^(9\d|100)\s%$"))
    page.get_by_role("button", name="Pause").press("Enter")
    assert page.locator(".unit").count() == 2 + 5 + 2
    page.get_by_label("more units in layer 1").press("Enter")
    playwright.expect(page.locator(".unit")).to_have_count(2 + 6 + 2)
    page.get_by_label("unit 2 of layer 1").press("Enter")
    playwright.expect(page.locator(".caption")).to_contain_text("chosen unit")
    page.get_by_role("radio", name="moons").focus()
    page.keyboard.press("ArrowRight")
    playwright.expect(page.get_by_role("radio", name="circles")).to_have_attribute("aria-checked", "true")
    # Own points: one class by mouse, another by the keyboard.
    page.get_by_text("Your own points").click()
    page.get_by_role("radio", name="blue circles").click()
    box = output.bounding_box()
    for share in (0.2, 0.3, 0.4):
        page.mouse.click(box["x"] + share * box["width"], box["y"] + 0.3 * box["height"])
    page.get_by_role("radio", name="green triangles").press("Enter")
    output.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    playwright.expect(count).to_have_text("step 0")
    playwright.expect(page).to_have_url(re.compile(r"points=[^~]+(~|%7E)[^~]+(~|%7E)[^~]+(~|%7E)[^~]+$"))
    address = page.url
    # A second tab shows the network that is trained, and both see what either does.
    page.get_by_role("button", name="One step").click()
    playwright.expect(count).to_have_text("step 1")
    second = visit.open("plane")
    playwright.expect(second.locator(".controls output")).to_have_text("step 1")
    second.get_by_label("fewer units in layer 1").press("Enter")
    for one in (second, page):
        playwright.expect(one.locator(".unit")).to_have_count(2 + 5 + 3)
    second.close()
    page.get_by_label("more units in layer 1").press("Enter")
    playwright.expect(page.locator(".unit")).to_have_count(2 + 6 + 3)
    page.close()
    page = visit.open("train")
    page.goto(address)
    playwright.expect(page.locator(".unit")).to_have_count(2 + 6 + 3)
    assert page.url == address
    page.close()
    assert visit.failures == []
