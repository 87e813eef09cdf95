"""A hub with its own CA and TLS that writes down what it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kegnet_client.core.wire.enrolment import format_code
from kegnet_client.hub import pki, serve
from kegnet_client.hub.app import create_app, wall_ms
from kegnet_client.hub.home import Home
from kegnet_client.hub.store import enrolment, schema
from kegnet_client.hub.store.pages import Query
from kegnet_client.hub.store.records import Store
from kegnet_client.keys import key_fingerprint

from ..support.waits import WAIT_S


@dataclass
class Request:
    """What the hub was told, and the status that it gave."""

    line: str
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    status: int | None = None


@dataclass
class Hub:
    """A running hub. ``lose`` names paths whose next answers are lost after the work was done."""

    home: Home
    store: Store
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    lose: list[str] = field(default_factory=list)
    stop: Callable[[], None] = lambda: None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def invite(self, name: str | None = "front bar", valid_ms: int = 60_000) -> str:
        secret = enrolment.invite(self.store, name, wall_ms() + valid_ms)
        return format_code(pki.ca_der(self.home.ca()), secret)

    def lines(self) -> list[str]:
        return [request.line for request in self.requests]

    def told(self) -> str:
        """All that it was told, as text to search in."""
        return json.dumps([(one.line, str(one.headers), one.body.decode("latin-1")) for one in self.requests])

    def statuses(self) -> set[int]:
        """Those of all answers so far; a request may be under way."""
        return {request.status for request in self.requests if request.status is not None}

    def rows(self, device: str) -> list[Any]:
        query = Query(100_000, equal=(("device", device),))
        return list(self.store.page(schema.pours, "started_ms", query).rows)

    def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Until ``predicate`` holds, looked at whenever a request is answered."""
        with self.changed:
            assert self.changed.wait_for(predicate, WAIT_S)

    def keys(self, device: str) -> tuple[str, ...]:
        """The fingerprints of the keys that are in force."""
        found = self.store.device(device)
        assert found is not None
        return tuple(key_fingerprint(pem) for pem in found.keys_pem)

    def wrap(self, app: ASGIApp) -> ASGIApp:
        async def recording(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":  # the hub's start and end
                await app(scope, receive, send)
                return
            request = Request(f"{scope['method']} {scope['path']}", list(scope["headers"]))
            self.requests.append(request)
            is_lost = scope["path"] in self.lose
            if is_lost:
                self.lose.remove(scope["path"])

            async def receive_all() -> Message:
                message = await receive()
                request.body += message.get("body", b"")
                return message

            async def send_or_lose(message: Message) -> None:
                if message["type"] == "http.response.start":
                    request.status = message["status"]
                if not is_lost:
                    await send(message)

            await app(scope, receive_all, send_or_lose)
            if is_lost:  # an answer that breaks off
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
                await send({"type": "http.response.body", "body": b"{", "more_body": True})
            with self.changed:
                self.changed.notify_all()

        return recording


@contextmanager
def running_hub(directory: Path) -> Iterator[Hub]:
    home = Home(directory)
    home.initialise(["localhost", "127.0.0.1"], None, serve.utc_now())
    with closing(Store(home.database())) as store, serve.listen("127.0.0.1", 0) as listener:
        store.prepare()
        hub = Hub(home, store)
        ready = threading.Event()
        # Nobody here says anything of kegs, and the routes for that take longest to make.
        with mock.patch("kegnet_client.hub.app.RESOURCES", ()):
            app = create_app(store, home.token(), home.ca())
        app.add_middleware(hub.wrap)
        server = serve.HubServer(app, home, listener, on_ready=ready.set)
        thread = threading.Thread(target=server.serve_until_stopped)
        thread.start()

        def stop() -> None:
            # Nobody is waited for: the requests that count are over.
            server.should_exit = server.force_exit = True
            thread.join()
            listener.close()

        hub.stop = stop
        try:
            assert ready.wait(10)
            hub.url = f"https://localhost:{listener.getsockname()[1]}"
            yield hub
        finally:
            stop()
