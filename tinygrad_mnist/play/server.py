"""The page's server: on this machine only, with a token in the URL.

A web page of somebody else could send requests here, too. So the names of the host and of the page that asks are
checked (a page that changes what its own name means, DNS rebinding, still has another name), and whatever is not a
plain file of this package needs the token.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import mimetypes
import re
import secrets
import socket
import sys
import webbrowser
from collections import defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..errors import MissingExtraError, OptionError
from .engine import Engine, to_json
from .pages import STATIC, palette_css

__all__ = ["make_app", "serve"]

#: The largest message from a page, in bytes: an upload of 32 MiB as base64, and a little.
LARGEST_MESSAGE = 45 * 2**20

#: The most commands of one page that wait for their answers, and the most updates it gets in a second.
MOST_WAITING, UPDATES = 64, 20

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

#: What the page may load: only from here, no inline script. Charts set styles of elements.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; frame-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Guard:
    """Refuses requests that do not come from our own page, and sets headers of safety.

    Parameters
    ----------
    app : ASGI application
    hosts : set of str
        The names, with port, by which this server may be called.
    token : str
        What the URL must say, except for files of the package.
    """

    def __init__(self, app: Any, hosts: set[str], token: str) -> None:
        self.app, self.hosts, self.token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if words := self._fault(scope):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": words})
            else:
                await PlainTextResponse(words + "\n", 403)(scope, receive, send)
            return

        async def send_safely(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                for name, value in _HEADERS.items():
                    if name.encode() not in given:
                        message["headers"].append((name.encode(), value.encode()))
            await send(message)

        await self.app(scope, receive, send_safely)

    def _fault(self, scope: Scope) -> str:
        """Say what is wrong with a request, or nothing."""
        headers: dict[bytes, list[str]] = defaultdict(list)
        for name, value in scope["headers"]:
            headers[name.lower()].append(value.decode("latin-1"))
        if len(hosts := headers[b"host"]) != 1 or hosts[0].lower() not in self.hosts:
            return "refused: this server is called by another name; open the URL that the terminal shows"
        # Browsers always say from which page a WebSocket is opened.
        origins = headers[b"origin"] or ([] if scope["type"] == "http" else [""])
        if any(origin.lower() not in {f"http://{host}" for host in self.hosts} for origin in origins):
            return "refused: another page asks"
        if scope["path"].startswith(("/static/", "/library/")) or scope["path"] == "/favicon.ico":
            return ""
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return "refused: the token is missing or wrong; open the URL that the terminal shows"
        return ""


_HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


def make_app(engine: Engine, *, token: str, port: int) -> Guard:
    """Make the application.

    Parameters
    ----------
    engine : Engine
    token : str
    port : int
        The port at which browsers reach it.
    """
    locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def colours(request: Request) -> Response:
        return Response(palette_css(), media_type="text/css")

    async def file(request: Request) -> Response:
        found = engine.files.get(request.path_params["key"])
        if found is None:
            return PlainTextResponse("this file is no longer kept; ask for it again\n", 404)
        kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
        headers = {"content-security-policy": document_policy(found.content if kind == "text/html" else b"")}
        if "save" in request.query_params:
            name = re.sub(r"[^\w.-]", "_", found.name)
            headers["content-disposition"] = f'attachment; filename="{name}"'
        return Response(found.content, media_type=kind, headers=headers)

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        outbox = Outbox(websocket)
        forget = engine.subscribe(outbox.put)
        sender = asyncio.create_task(outbox.send())
        answers: set[asyncio.Task[None]] = set()

        async def answer(message: Any) -> None:
            room = str(message.get("room")) if isinstance(message, dict) else ""
            async with locks[
                room if room in engine.rooms else ""
            ]:  # commands of a room are carried out one after the other, in their order
                found = await asyncio.to_thread(engine.answer, message)
            await outbox.reply(await asyncio.to_thread(to_json, found))

        try:
            while (frame := await websocket.receive())["type"] != "websocket.disconnect":
                try:
                    message = json.loads(frame.get("text") or "")  # a frame of bytes is no command
                except (ValueError, RecursionError):
                    message = None
                if len(answers) >= MOST_WAITING:
                    await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
                task = asyncio.create_task(answer(message))
                answers.add(task)
                task.add_done_callback(answers.discard)
        finally:
            forget()
            sender.cancel()

    library = charts()
    app = Starlette(
        routes=[
            Route("/", page),
            Route("/static/palette.css", colours),
            Route("/files/{key}/{name}", file),
            WebSocketRoute("/socket", talk),
            Route("/library/plotly.min.js", lambda request: FileResponse(library)),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
    )
    return Guard(app, {f"127.0.0.1:{port}", f"localhost:{port}"}, token)


class Outbox:
    """What one page is still to be told: the newest update of each kind, at most 20 times a second."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[tuple[str, str, str], Any] = {}
        self._news = asyncio.Event()
        self._lock = asyncio.Lock()

    def put(self, update: dict[str, Any]) -> None:
        """Take an update, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, update)

    def _put(self, update: dict[str, Any]) -> None:
        key = update["room"], update["what"], update.get("key", "")
        self._waiting.pop(key, None)  # the newest comes last
        self._waiting[key] = update
        self._news.set()

    async def send(self) -> None:
        """Send updates for as long as the page listens."""
        while True:
            await self._news.wait()
            self._news.clear()
            updates, self._waiting = list(self._waiting.values()), {}
            for update in updates:
                await self.reply(await asyncio.to_thread(to_json, update))
            await asyncio.sleep(1 / UPDATES)

    async def reply(self, text: str) -> None:
        """Send one message; a page that has gone does not hear it."""
        async with self._lock:
            try:
                await self.websocket.send_text(text)
            except (RuntimeError, WebSocketDisconnect):
                return


def document_policy(content: bytes) -> str:
    """What a file may do in a frame: run its own scripts, and nothing else; it is a page of nobody's."""
    scripts = re.findall(rb"<script>(.*?)</script>", content, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"
    )


def charts() -> Path:
    """Find the charts' library in the package that carries it."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise MissingExtraError("charts need the package 'plotly': pip install 'tinygrad-mnist[play]'")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


def serve(engine: Engine, *, port: int = 0, opens: bool = True) -> None:
    """Serve the page until Ctrl-C. The first line on the standard output is its URL.

    Parameters
    ----------
    engine : Engine
    port : int, default 0
        0 means any that is free.
    opens : bool, default True
        Whether to open the page in a browser.

    Raises
    ------
    OptionError
        If the port is in use.
    """
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise OptionError(f"port {port} cannot be used: {error.strerror}; choose another --port") from error
    with listening:
        port, token = listening.getsockname()[1], secrets.token_urlsafe(18)
        url = f"http://127.0.0.1:{port}/?token={token}"
        config = uvicorn.Config(
            make_app(engine, token=token, port=port),
            log_level="warning",
            ws_max_size=LARGEST_MESSAGE,
            timeout_graceful_shutdown=1,
            lifespan="off",
            access_log=False,
        )
        print(url, flush=True)
        if opens:
            webbrowser.open(url)
        print("Ctrl-C ends it", file=sys.stderr, flush=True)
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:  # uvicorn has shut down, and passes it on
            pass
        finally:
            engine.close()
