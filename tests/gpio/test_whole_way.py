"""From pulses on a line, and from the bus, to rows at a hub that runs beside it: all by the commands of a person."""

import json
import re
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.host.state_file import StateFile

from ..support.program import COMMAND, Program
from ..support.waits import wait_until
from .conftest import SECTIONS, WAIT_S
from .tap import Tap
from .test_flow_meters import BOTH

pytestmark = pytest.mark.slow


class Kegerator:
    """A hub and a device in ``directory``, and the programs of both."""

    def __init__(self, directory: Path) -> None:
        self.hub = directory / "hub"
        self.root = directory / "device"
        self.url = ""
        self._programs: list[Program] = []

    def call(self, *words: str | Path) -> str:
        """What the command says once it is done, which has to be well."""
        done = subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=WAIT_S, check=False, cwd="/")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *words: str | Path, until: str) -> str:
        """Start the command; the line of its log that has ``until``."""
        self._programs.append(Program([COMMAND, *words], {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}))
        return self._programs[-1].log.wait_for(until, timeout_s=WAIT_S)

    def stored(self, what: str) -> list[dict[str, Any]]:
        """What the hub has: pours or temperatures."""
        token = (self.hub / "token").read_text().strip()
        request = urllib.request.Request(f"{self.url}/api/{what}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310 (our own hub)
        context = ssl.create_default_context(cafile=self.hub / "ca.crt")
        with urllib.request.urlopen(request, context=context, timeout=WAIT_S) as answer:  # noqa: S310 (as above)
            items: list[dict[str, Any]] = json.load(answer)["items"]
        return items

    def close(self) -> None:
        for program in reversed(self._programs):
            program.close()


@pytest.fixture
def kegerator(tmp_path: Path) -> Iterator[Kegerator]:
    """A hub that runs, and a device that is enrolled there and delivers."""
    kegerator = Kegerator(tmp_path)
    hub, root = kegerator.hub, kegerator.root
    kegerator.call("hub", "init", "--dir", hub, "--host", "localhost")
    line = kegerator.start("hub", "run", "--dir", hub, "--bind", "127.0.0.1", "--port", "0", until="https://")
    port = re.search(r"https://\S+:([0-9]+)", line)
    assert port, line
    kegerator.url = f"https://localhost:{port[1]}"
    invitation = kegerator.call("hub", "invite", "--dir", hub, "--url", kegerator.url)
    code = re.search(r"kegnet-client enroll (\S+) (\S+)", invitation)
    assert code, invitation
    kegerator.call("enroll", "--root", root, code[1], code[2])
    file = root / "conf" / "client.conf"
    file.write_text(file.read_text() + SECTIONS)
    kegerator.start("run", "--root", root, until="delivers from")
    yield kegerator
    kegerator.close()


def test_pulses_and_degrees_become_signed_rows_at_a_hub(kegerator: Kegerator, tap: Tap, other_tap: Tap) -> None:
    kegerator.start("flow-meter", "--root", kegerator.root, until=BOTH)
    wait_until(StateFile.of_producer(kegerator.root, "flow-meter").read, "it has not looked at its lines", WAIT_S)
    tap.turn(271, 270)
    other_tap.turn(101, 100)
    wait_until(lambda: len(kegerator.stored("pours")) == 2, "the hub has no two pours", WAIT_S)
    wait_until(lambda: kegerator.stored("temperatures"), "the hub has no temperature", WAIT_S)

    assert sorted((pour["pin"], pour["pulses"]) for pour in kegerator.stored("pours")) == [(0, 271), (3, 101)]
    (reading,) = kegerator.stored("temperatures")
    print(json.dumps([reading, *kegerator.stored("pours")]))
    assert "Every record verifies: 2 pours, 1 temperatures" in kegerator.call("hub", "verify", "--dir", kegerator.hub)
