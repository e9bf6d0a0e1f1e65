"""The page's server: who may talk to it, and what it lets through."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_mnist.errors import OptionError
from tinygrad_mnist.play.engine import Engine, Room, command
from tinygrad_mnist.play.rooms import ROOMS
from tinygrad_mnist.play.server import document_policy, make_app

httpx = pytest.importorskip("httpx", reason="httpx is not installed")
testclient = pytest.importorskip("starlette.testclient")
WebSocketDisconnect = testclient.WebSocketDisconnect

TOKEN, PORT = "the-token", 8123
HOST = f"127.0.0.1:{PORT}"


class Echo(Room):
    name, title = "echo", "Echo"

    @command
    def say(self, text: str) -> str:
        self.publish("said", text=text)
        return text.upper()

    @command
    def add(self, x: float, times: int = 1, of: list[list[Any]] | None = None) -> float:
        return x * times

    @command
    def numbers(self) -> dict[str, Any]:
        return {"x": np.array([[0.5, np.nan]]), "n": np.float32(2), "bad": float("inf")}

    @command
    def fail(self) -> None:
        raise OptionError("that is not possible")

    @command
    def break_down(self) -> None:
        raise ZeroDivisionError("secret")

    def hidden(self) -> None:
        raise AssertionError("no command")


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine([Echo])
    yield made
    made.close()


@pytest.fixture
def client(engine: Engine) -> Any:
    app = make_app(engine, token=TOKEN, port=PORT)
    return testclient.TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=True)


def test_the_page_needs_the_token(client: Any) -> None:
    page = client.get("/", params={"token": TOKEN})
    assert page.status_code == 200
    assert "<script" in page.text
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    # No inline script and no other host: what the policy forbids, the page does not contain.
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=|https?://", page.text)
    for query in ({}, {"token": ""}, {"token": TOKEN + "x"}, {"token": TOKEN.upper()}):
        refused = client.get("/", params=query)
        assert refused.status_code == 403
        assert TOKEN not in refused.text


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/files/x/y", "/socket"])
@pytest.mark.parametrize(
    "host",
    ["attacker.example", f"attacker.example:{PORT}", "127.0.0.1", "localhost", f"127.0.0.1:{PORT + 1}", ""],
)
def test_other_names_of_the_host_are_refused(client: Any, path: str, host: str) -> None:
    """A page that makes its own name mean this machine (DNS rebinding) still calls it by that name."""
    answer = client.get(path, params={"token": TOKEN}, headers={"host": host})
    assert answer.status_code == 403


def connect(client: Any, token: str = TOKEN, **headers: str) -> Any:
    return client.websocket_connect(
        f"/socket?token={token}", headers={"host": HOST, "origin": f"http://{HOST}", **headers}
    )


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("wrong", {}),
        ("", {}),
        (TOKEN, {"origin": "http://attacker.example"}),
        (TOKEN, {"origin": "null"}),
        (TOKEN, {"origin": f"https://{HOST}"}),
        (TOKEN, {"origin": f"http://127.0.0.1:{PORT + 1}"}),
        (TOKEN, {"origin": ""}),
        (TOKEN, {"host": f"attacker.example:{PORT}"}),
    ],
)
def test_a_stranger_cannot_talk(client: Any, token: str, headers: dict[str, str]) -> None:
    with pytest.raises(WebSocketDisconnect) as refused, connect(client, token, **headers):
        pass
    assert refused.value.reason.startswith("refused: ")


def test_commands_and_updates(client: Any) -> None:
    with connect(client) as socket:

        def ask(room: Any, do: Any, **given: Any) -> Any:
            socket.send_text(json.dumps({"id": 7, "room": room, "do": do, "with": given}))
            return socket.receive_json()

        assert ask("page", "hello")["result"]["rooms"] == [{"name": "echo", "title": "Echo"}]
        assert ask("echo", "fail")["error"] == "that is not possible"
        assert "unknown command 'hidden'" in ask("echo", "hidden")["error"]
        assert "unknown room" in ask("nowhere", "x")["error"]
        assert "unknown argument 'words'" in ask("echo", "say", words="a")["error"]
        assert ask("echo", "add", x=2, times=3)["result"] == 6
        wrong = {"x": ("1", None, [1], True, math.nan, -math.inf, 10**400, {}), "times": (1.5, "1", False)}
        for name, values in wrong.items():
            for value in values:
                assert f"{name} is " in ask("echo", "add", **{"x": 1, name: value})["error"]
        assert ask("echo", "add", x=1, of="a")["error"] == "echo.add: of is 'a', but must be a list"
        numbers = ask("echo", "numbers")["result"]
        assert numbers["x"]["shape"] == [1, 2]
        assert (numbers["n"], numbers["bad"]) == (2, None)
        for nonsense in ("[", "[]", "1", '{"id": 1}', '{"room": ["echo"], "do": {}}', "[" * 10_000):
            socket.send_text(nonsense)
            assert "error" in socket.receive_json()
        socket.send_bytes(b"\x00")
        assert "error" in socket.receive_json()
        both = [ask("echo", "say", text="a"), socket.receive_json()]  # in any order
        assert {"id": 7, "result": "A"} in both
        assert {"room": "echo", "what": "said", "key": "", "text": "a"} in both


def test_mistakes_of_the_program_are_not_shown_to_the_page(client: Any, capsys: Any) -> None:
    with connect(client) as socket:
        socket.send_text('{"id": 1, "room": "echo", "do": "break_down"}')
        answer = socket.receive_json()
    assert "secret" not in answer["error"]
    assert "ZeroDivisionError: secret" in capsys.readouterr().err


def test_files_are_documents_of_nobody(client: Any, engine: Engine) -> None:
    path = engine.offer("a b.html", b"<script>1</script><script>2</script>")
    answer = client.get(f"/{path}", params={"token": TOKEN})
    policy = answer.headers["content-security-policy"]
    assert policy == document_policy(answer.content)
    assert policy.count("'sha256-") == 2
    assert "sandbox allow-scripts" in policy
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    saved = client.get(f"/{path}", params={"token": TOKEN, "save": ""})
    assert saved.headers["content-disposition"] == 'attachment; filename="a_b.html"'
    assert client.get(f"/{path}").status_code == 403
    assert client.get("/files/0/x", params={"token": TOKEN}).status_code == 404
    for _ in range(40):
        engine.offer("x", b"")
    assert client.get(f"/{path}", params={"token": TOKEN}).status_code == 404


def test_only_static_files_are_served(client: Any) -> None:
    assert client.get("/static/main.js").status_code == 200
    assert "--blue: #0072b2;" in client.get("/static/palette.css").text
    for path in (
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/%2e%2e%2fserver.py",
        "/static/",
    ):
        assert client.get(path).status_code in (403, 404, 405)


def test_every_room_has_a_page() -> None:
    static = Path(sys.modules[make_app.__module__].__file__ or "").parent / "static"
    assert len({room.name for room in ROOMS}) == len(ROOMS)
    for room in ROOMS:
        text = (static / f"{room.name}.js").read_text(encoding="utf-8")
        assert re.search(r"^export (const mount =|(async )?function mount\()", text, re.MULTILINE)


def test_the_first_line_is_the_address() -> None:
    command = [sys.executable, "-m", "tinygrad_mnist", "play", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        address = started.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{20,}", address)
        assert httpx.get(address).status_code == 200
        started.send_signal(2)
        assert started.wait(20) in (0, 130)
