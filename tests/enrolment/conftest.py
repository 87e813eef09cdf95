"""A hub with its own CA and TLS that writes down what it is told, and devices in directories of their own."""

import json
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kegnet_client import config
from kegnet_client.core.enrolment import format_code
from kegnet_client.core.rest import parse_base_url
from kegnet_client.hub import enrolment, pki, schema, serve
from kegnet_client.hub.app import create_app, wall_ms
from kegnet_client.hub.home import Home
from kegnet_client.hub.receive import fingerprint
from kegnet_client.hub.store import Query, Store
from kegnet_client.identity import Identity, generate_private_key, load_identity
from kegnet_client.provisioning import draft, write

KEGNET_CLIENT = Path(sys.executable).with_name("kegnet-client")
TIMEOUT_S = 30.0


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
            assert self.changed.wait_for(predicate, TIMEOUT_S)

    def keys(self, device: str) -> tuple[str, ...]:
        """The fingerprints of the keys that are in force."""
        found = self.store.device(device)
        assert found is not None
        return tuple(fingerprint(pem) for pem in found.keys_pem)

    def wrap(self, app: ASGIApp) -> ASGIApp:
        async def recording(scope: Scope, receive: Receive, send: Send) -> None:
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
        app = hub.wrap(create_app(store, home.token(), home.ca()))
        server = serve.HubServer(app, home, listener, on_ready=ready.set)  # type: ignore[arg-type]  # any ASGI app does
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


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub that answers."""
    with running_hub(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[Callable[[str], Hub]]:
    """``start_hub("other")`` is another one, with a CA of its own."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(running_hub(tmp_path / name))


@pytest.fixture(scope="session")
def key_pem() -> bytes:
    return generate_private_key()


@dataclass
class Device:
    """A device that the hub knows."""

    root: Path
    settings: config.Config

    @property
    def key(self) -> Path:
        return self.settings.private_key

    @property
    def uuid(self) -> str:
        return self.settings.uuid

    def identity(self, suffix: str = "") -> Identity:
        path = self.key.with_name(self.key.name + suffix)
        return load_identity(self.uuid, path, self.settings.base.version)

    def beside(self) -> set[str]:
        """What stands beside the key under its name."""
        return {path.name for path in self.key.parent.iterdir() if path.name.startswith(self.key.name)} - {
            self.key.name
        }


@pytest.fixture
def make_device(tmp_path: Path, hub: Hub, key_pem: bytes) -> Callable[[], Device]:
    def make() -> Device:
        root = tmp_path / f"device-{uuid.uuid4()}"
        base = parse_base_url(f"{hub.url}/rest/v2")
        made = draft(root, base, "enroll", brings_ca=True)
        settings = made.settings
        write(made, [(settings.private_key, key_pem, 0o600), (settings.ca_bundle, hub.home.ca(), 0o644)])
        (root / "spool").mkdir()
        device = Device(root, settings)
        key = device.identity().key.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        hub.store.add_device(device.uuid, key, "tap", wall_ms())
        return device

    return make


@pytest.fixture
def device(make_device: Callable[[], Device]) -> Device:
    return make_device()
