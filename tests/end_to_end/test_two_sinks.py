"""One daemon feeds a hub and a Kegbot server from one spool while either goes down: both have every pour once."""

import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from signal import SIGHUP, SIGKILL
from typing import Protocol

import httpx
import pytest

from kegnet_client.core.records import Pour
from kegnet_client.core.wire.kegbot_api import KEY_HEADER, nonce_of

from ..sinks.kegbot_server import serve
from ..support.authority import Authority
from ..support.clock import FakeClock
from ..support.kegbot import KEY, KegbotModel
from ..support.kegbot_site import KegbotSite
from ..support.program import COMMAND, Program
from ..support.sockets import Connection, Server
from ..support.waits import WAIT_S, wait_until

STARTED_MS = 1_700_000_000_000
PATIENCE_S = 240.0
"""A pour whose post ended in doubt waits a minute, and once more where the server is away then."""


class KegbotServer(Protocol):
    """A Kegbot server that can be down. ``key`` is its API key."""

    key: str

    @property
    def url(self) -> str: ...

    def stop(self) -> None: ...

    def start(self) -> None: ...

    def series(self) -> list[str]:
        """What each drink has for its ticks over time, in which its nonce is."""


class Model:
    """The model of the server, at an address; it resets every connection while it is down."""

    key = KEY

    def __init__(self, chain: Path) -> None:
        self._model = KegbotModel(FakeClock(), Random(1))  # noqa: S311 (no secret)
        self._is_up = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self._server = Server(context, self._behave, shake_hands=False)

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.port}/api"

    def start(self) -> None:
        self._is_up = True

    def stop(self) -> None:
        self._is_up = False
        self._server.hang_up()

    def series(self) -> list[str]:
        return [drink.series for drink in self._model.drinks.values()]

    def close(self) -> None:
        self._server.close()

    def _behave(self, connection: Connection) -> None:
        if self._is_up:
            connection.shake_hands()
            serve(connection, self._model)
        else:
            connection.reset()


class Published(KegbotSite):
    """The server as it was published."""

    def series(self) -> list[str]:
        answer = httpx.get(f"{self.url}/v1/drinks", headers={KEY_HEADER: self.key}, timeout=WAIT_S, trust_env=False)
        return [drink["tick_time_series"] for drink in answer.json()["objects"]]


class Hub:
    """A hub of its own, as a process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.command("init", "--host", "localhost")
        self._port = "0"
        self._program: Program | None = None

    def command(self, *arguments: str | Path) -> None:
        argv = [COMMAND, "hub", *arguments, "--dir", self.directory]
        subprocess.run(argv, capture_output=True, check=True, timeout=PATIENCE_S)

    @property
    def url(self) -> str:
        return f"https://localhost:{self._port}/rest/v3"

    def start(self) -> None:
        where = ["--dir", str(self.directory), "--bind", "127.0.0.1", "--port", self._port]
        self._program = Program([COMMAND, "hub", "run", *where], os.environ)
        line = self._program.log.wait_for("The hub answers at ", timeout_s=PATIENCE_S)
        self._port = re.findall(r"https://127\.0\.0\.1:(\d+)", line)[0]

    def stop(self) -> None:
        """As a power cut would."""
        if self._program is not None:
            self._program.signal(SIGKILL)
            self._program.process.wait(WAIT_S)
            self._program.close()
            self._program = None

    def pours(self) -> list[int]:
        context = ssl.create_default_context(cafile=self.directory / "ca.crt")
        headers = {"Authorization": f"Bearer {(self.directory / 'token').read_text().strip()}"}
        address = f"https://localhost:{self._port}/api/pours?limit=1000"
        answer = httpx.get(address, headers=headers, verify=context, timeout=WAIT_S, trust_env=False)
        return sorted(item["pulses"] for item in answer.json()["items"])


class Device:
    """A device that ``kegnet-client init`` made for both, and its daemon."""

    def __init__(self, root: Path, hub: Hub, kegbot: KegbotServer, ca: Path) -> None:
        self.root = root
        self._dropped: list[Pour] = []
        self._call("init", "--url", hub.url, "--ca", hub.directory / "ca.crt")
        self._call("init", "--kegbot", kegbot.url, *(["--ca", str(ca)] if kegbot.url.startswith("https") else []))
        configuration = (root / "conf" / "client.conf").read_text()
        self.uuid = re.findall(r"^uuid *= *(\S+)", configuration, re.MULTILINE)[0]
        key = re.findall(r"^#? ?apiKeyFile *= *(\S+)", configuration, re.MULTILINE)[0]
        (root / key).touch(0o600)
        (root / key).write_text(kegbot.key + "\n")
        public = root / "public.pem"
        private = root / "conf" / "privkey.pem"
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
        hub.command("devices", "add", self.uuid, public)

    def start(self) -> Program:
        program = Program([COMMAND, "run", "--root", self.root], os.environ)
        program.log.wait_for("delivers from", timeout_s=PATIENCE_S)
        return program

    def drop(self, count: int) -> None:
        """As many pours more, each renamed into place."""
        for _ in range(count):
            number = len(self._dropped) + 1
            pour = Pour(number % 2, number, 8000, STARTED_MS + number * 60_000)
            self._dropped.append(pour)
            temp = self.root / "spool" / f".{number}.tmp"
            temp.write_text(f"{pour.pin},{pour.pulses},{pour.elapsed_ms},{pour.started_ms}\n")
            temp.rename(self.root / "spool" / f"{number}.pour")

    @property
    def pulses(self) -> list[int]:
        return [pour.pulses for pour in self._dropped]

    def at_kegbot(self, kegbot: KegbotServer) -> list[int]:
        """How many drinks of each of its pours there are."""
        series = [pairs.split() for pairs in kegbot.series()]
        return [sum(f"{nonce_of(pour, self.uuid)}:0" in pairs for pairs in series) for pour in self._dropped]

    def is_quiet(self) -> bool:
        return not any((self.root / "spool").rglob("*.pour"))

    def _call(self, *words: str | Path) -> None:
        subprocess.run([COMMAND, *words, "--root", self.root], capture_output=True, check=True, timeout=PATIENCE_S)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path / "hub")
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()


@pytest.fixture(params=["model", "published"])
def kegbot(request: pytest.FixtureRequest, tmp_path: Path, chain: Path) -> Iterator[KegbotServer]:
    if request.param == "model":
        model = Model(chain)
        yield model
        model.close()
    else:
        (tmp_path / "kegbot").mkdir()
        published = Published(tmp_path / "kegbot")
        yield published
        published.stop()


@pytest.mark.slow
@pytest.mark.case(128)
def test_while_either_goes_down_and_the_daemon_is_killed_both_have_every_pour_once_in_the_end(
    tmp_path: Path, hub: Hub, kegbot: KegbotServer, authority: Authority
) -> None:
    device = Device(tmp_path / "root", hub, kegbot, authority.bundle)
    program = device.start()
    try:
        device.drop(5)
        wait_until(lambda: hub.pours() == device.pulses, "the hub has not all", PATIENCE_S)
        wait_until(lambda: device.at_kegbot(kegbot) == [1] * 5, "the Kegbot server has not all", PATIENCE_S)
        kegbot.stop()
        device.drop(5)
        wait_until(lambda: hub.pours() == device.pulses, "the hub waits for the Kegbot server", PATIENCE_S)
        kegbot.start()
        hub.stop()
        device.drop(5)
        program.signal(SIGKILL)
        program.close()
        program = device.start()
        device.drop(5)
        wait_until(lambda: device.at_kegbot(kegbot) == [1] * 20, "the Kegbot server waits for the hub", PATIENCE_S)
        hub.start()
        program.signal(SIGHUP)
        wait_until(device.is_quiet, "something waits still", PATIENCE_S)
        assert hub.pours() == device.pulses
        assert device.at_kegbot(kegbot) == [1] * 20
        assert len(kegbot.series()) == 20, "a drink that nobody poured"
        assert program.stop()[0] == 0
    finally:
        program.close()
