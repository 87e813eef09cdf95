"""A hub with its pages as a process of its own, and a real Chromium that looks at them."""

import base64
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from kegnet_client.core.wire.forms import CONTENT_TYPE, SIGNED_FIELDS
from kegnet_client.hub.app import wall_ms
from kegnet_client.hub.domain.roles import Role
from kegnet_client.hub.home import Home
from kegnet_client.hub.serve import utc_now
from kegnet_client.hub.store import tokens
from kegnet_client.hub.store.records import Store

from ..support.waits import WAIT_S

playwright_api = pytest.importorskip("playwright.sync_api", reason="takes the extra test")
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
PROGRAM = "from kegnet_client.cli import main; raise SystemExit(main())"
DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
NASTY = "<img src=x onerror=alert(1)>"


def pour(api: httpx.Client, key: rsa.RSAPrivateKey, pulses: int, pin: int = 0) -> None:
    """What the device at the bar sends."""
    fields = {"id": DEVICE, "pin": pin, "pulses": pulses, "et": 8000, "ts": time.time_ns() // 1_000_000 - 8000}
    signed = ",".join(str(fields[name]) for name in SIGNED_FIELDS["pour"]).encode()
    fields["sig"] = base64.b64encode(key.sign(signed, padding.PKCS1v15(), hashes.SHA256())).decode()
    answer = api.post("/rest/v2/pour", content=urlencode(fields), headers={"Content-Type": CONTENT_TYPE})
    assert answer.status_code == 200


def enrol(tmp_path: Path, command: str) -> "subprocess.CompletedProcess[str]":
    """What comes of ``command``, pasted on a device."""
    sudo, _program, *words = command.split()
    assert sudo == "sudo"
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, words[0], "--root", str(tmp_path), *words[1:]],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


class Hub:
    """The hub in ``home``, on one port however often it is started."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Serve, and wait until it answers."""
        words = ["hub", "run", "--dir", str(self.home.directory), "--bind", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "answers at" in line, line + self._process.stdout.read()
        self.port = int(line.split("127.0.0.1:")[1].split(" ")[0])

    def stop(self) -> str:
        """Stop; what it said."""
        assert self._process is not None
        self._process.terminate()
        said, _ = self._process.communicate(timeout=WAIT_S)
        return said

    def resident_kib(self) -> int:
        """The memory of its process."""
        assert self._process is not None
        (line,) = (
            line for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines() if "VmRSS" in line
        )
        return int(line.split()[1])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def token(self, name: str, role: Role) -> str:
        """A token of this role."""
        with closing(Store(self.home.database())) as store:
            return store.write(lambda connection: tokens.make(connection, name, role, wall_ms()))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The hub of this module's tests."""
    if not CHROMIUM.exists():
        pytest.skip("takes Debian's chromium")
    pytest.importorskip("nicegui", reason="takes the extra dashboard")
    home = Home(tmp_path_factory.mktemp("hub"))
    home.initialise(["localhost", "127.0.0.1"], None, utc_now())
    hub = Hub(home)
    hub.start()
    yield hub
    said = hub.stop()
    assert "Traceback" not in said, said


@pytest.fixture(scope="module")
def api(hub: Hub) -> Iterator[httpx.Client]:
    """Whoever has the token of ``hub init``."""
    trust = ssl.create_default_context(cafile=hub.home.ca_certificate)
    headers = {"Authorization": f"Bearer {hub.home.token()}"}
    with httpx.Client(base_url=hub.url, verify=trust, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def key(hub: Hub) -> rsa.RSAPrivateKey:
    """The key of the device at the bar."""
    key = rsa.generate_private_key(65537, 2048)
    with closing(Store(hub.home.database())) as store:
        store.add_device(DEVICE, key.public_key(), NASTY, wall_ms())
    return key


@pytest.fixture(scope="module")
def tap(api: httpx.Client, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """A tap with a keg, each with a name that is meant to run as a script."""
    tap: dict[str, Any] = api.post("/api/taps", json={"name": NASTY, "meters": [{"device": DEVICE, "pin": 0}]}).json()
    beverage = api.post("/api/beverages", json={"name": f"{NASTY} Helles"}).json()
    body = {"size_ml": 20_000, "beverage": beverage["id"], "taps": [{"tap": tap["id"]}]}
    assert api.post("/api/kegs", json=body).status_code == 201
    return tap


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser."""
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(hub: Hub, chromium: Any) -> Iterator[OpenPage]:
    """``open_page("taps", token)``: that page in a browser of its own; what it complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def make(place: str, token: str | None = None, *, width: int = 1280, height: int = 800) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, ignore_https_errors=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_S * 1000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        page.on(
            "request",
            lambda request: (
                complaints.append(f"asked for {request.url}")
                if not request.url.startswith((hub.url, hub.url.replace("https", "wss"), "data:", "blob:"))
                else None
            ),
        )
        # Not by the page, which may be led on by what it gets, and complains if that is interrupted.
        context.request.get(f"{hub.url}/?token={token or hub.home.token()}", max_redirects=0)
        page.goto(f"{hub.url}/ui/{place}")
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []
