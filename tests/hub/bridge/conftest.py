"""BrewPis that are simulated, and a bridge of the session's hub that polls quickly."""

import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from kegnet_client.hub.bridge.bridge import Bridge
from kegnet_client.hub.bridge.hub_link import HubLink
from kegnet_client.hub.home import Home
from kegnet_client.net.client import Transport
from kegnet_client.net.tls import client_context

from ...support.authority import Authority
from ...support.brewpi import BrewPi

Faults = list[Exception]


@pytest.fixture(params=["unix", "tcp"])
def brewpi(request: pytest.FixtureRequest, make_brewpi: Callable[[str], BrewPi]) -> BrewPi:
    """One, at a Unix socket and over TCP."""
    return make_brewpi(request.param)


@pytest.fixture
def make_brewpi(tmp_path: Path) -> Iterator[Callable[[str], BrewPi]]:
    """``make_brewpi("unix" or "tcp")``: another one."""
    with ExitStack() as stack:

        def make(kind: str) -> BrewPi:
            made = BrewPi(tmp_path / f"brewpi{len(made_already)}" if kind == "unix" else None)
            made_already.append(made)
            stack.callback(made.close)
            return made

        made_already: list[BrewPi] = []
        yield make


@pytest.fixture
def add(reader: httpx.Client) -> Iterator[Callable[..., int]]:
    """``add(entry, name)``: a controller of the hub, until the test ends; its number."""
    with ExitStack() as stack:

        def make(entry: dict[str, Any], name: str = "BrewPi One") -> int:
            answer = reader.post("/iocontrollers", json={"name": name, **entry})
            number: int = answer.json()["id"]
            stack.callback(reader.delete, f"/iocontroller/{number}")
            return number

        yield make


@pytest.fixture
def bridge_to(hub_home: Home, caplog: pytest.LogCaptureFixture) -> Callable[..., Any]:
    """``with bridge_to(url):`` a bridge polls quickly what the hub there lists; no fault of our own may come."""
    caplog.set_level(logging.INFO, "kegnet_client.hub.bridge")

    @contextmanager
    def bridging(url: str, ca: Path | None = None, token: str = "", **options: float) -> Iterator[Bridge]:
        faults: Faults = []

        def guard(work: Callable[[], object]) -> None:
            try:
                work()
            except Exception as fault:
                faults.append(fault)

        context: ssl.SSLContext = client_context(ca or hub_home.ca_certificate)
        transport = Transport(context, 5, lambda: 0)
        quick = {"interval_s": 0.05, "deadline_s": 0.5, "refresh_s": 0.1, "retry_s": 0.1}
        bridge = Bridge(HubLink(url, token or hub_home.token(), transport), guard, **{**quick, **options})
        bridge.start()
        try:
            yield bridge
        finally:
            bridge.stop()
            bridge.wait(10)
            transport.close()
        assert faults == []

    return bridging


@pytest.fixture
def make_link(authority: Authority) -> Iterator[Callable[[str, str], HubLink]]:
    """``make_link(url, token)``: the way to a hub whose certificate is of the tests' own CA."""
    with ExitStack() as stack:

        def make(url: str, token: str) -> HubLink:
            link = HubLink(url, token, Transport(client_context(authority.bundle), 5, lambda: 0))
            stack.callback(link.close)
            return link

        yield make
