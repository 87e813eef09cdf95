"""A hub that is killed again and again while devices deliver to it, on each of its databases.

Devices and hub are the real programs, the databases SQLite and a real PostgreSQL. Whenever the hub is down, each pour
stands in its device's spool or in the database, there once: a device removes what was acknowledged, and nothing else.
"""

import re
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench import COMMAND, ONE_MS, Bench, Daemon, Device, ViolationError, make_random, versions, wait_until
from patience import STILL_S, wait_while_falling
from tests.support.postgresql import running

DATABASES = ("sqlite", "postgresql")
START_S = 60.0
LIVES_S = (0.2, 2.0)
"""How long, at least and at most, a hub that answers lives: it dies at random, so there is nothing to wait for."""
PAUSE_S = 0.01
"""Between two pours."""
WHERE = re.compile(r"The hub answers at https://127\.0\.0\.1:([0-9]+)")
ALL_POURS = sqlalchemy.text("SELECT device, pin, pulses, elapsed_ms, started_ms FROM pours")


class Hub:
    """The process, in ``directory``, on the ``database`` of that URL, or on its own file."""

    def __init__(self, directory: Path, database: str | None) -> None:
        self._directory = directory
        self._log = directory.with_name("hub.log")
        self._port = "0"
        self._process: subprocess.Popen[bytes] | None = None
        self._engine = sqlalchemy.create_engine(database or f"sqlite:///{directory / 'hub.db'}")
        self.command("init", "--host", "localhost", *(["--database", database] if database else []))
        self.ca_pem = (directory / "ca.crt").read_bytes()

    def command(self, *arguments: str | Path) -> None:
        subprocess.run([COMMAND, "hub", *arguments, "--dir", self._directory], check=True, capture_output=True)

    def url(self, version: str) -> str:
        return f"https://localhost:{self._port}/rest/{version}"

    def start(self) -> None:
        """Until it answers, at the port that it had before."""
        with self._log.open("wb") as log:
            argv: list[str | Path] = [
                COMMAND,
                "hub",
                "run",
                "--dir",
                self._directory,
                "--bind",
                "127.0.0.1",
                "--port",
                self._port,
            ]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        if not wait_until(lambda: WHERE.search(self._said()) is not None, START_S):
            raise RuntimeError(f"the hub does not answer: {self._said()}")
        self._port = WHERE.findall(self._said())[0]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        self.kill()
        self._engine.dispose()

    def pours(self) -> Counter[str]:
        """How often each pour is in the database."""
        with self._engine.connect() as connection:
            return Counter(",".join(map(str, row)) for row in connection.execute(ALL_POURS))

    def _said(self) -> str:
        return self._log.read_text("utf-8", "replace")


@dataclass(slots=True)
class Bar:
    """The devices of a hub, and the pours that were dropped into their spools: ``device,record`` by path."""

    devices: list[Device]
    dropped: dict[Path, str] = field(default_factory=dict)

    def drop(self, number: int) -> None:
        device = self.devices[number % len(self.devices)]
        line = f"{number % 4},{number % 2600 + 1},8123,{ONE_MS + number}"
        path = device.spool / f"{number}.pour"
        temp = path.with_name(f".{number}.tmp")
        temp.write_text(line + "\n")
        temp.rename(path)
        self.dropped[path] = f"{device.uuid},{line}"

    def waiting(self) -> set[str]:
        names = {path for device in self.devices for path in device.spool.glob("*.pour")}
        return {self.dropped[path] for path in names}

    def faults(self, hub: Hub) -> list[str]:
        """What is wrong; the spools are read first, for a pour is in the database before it leaves its spool."""
        waiting = self.waiting()
        rows = hub.pours()
        lost = set(self.dropped.values()) - waiting - rows.keys()
        faults = [f"{pour!r} was taken from its spool and is not in the database" for pour in sorted(lost)]
        faults += [f"{pour!r} is in the database {count} times" for pour, count in rows.items() if count > 1]
        return faults


def run(bench: Bench, seconds: float) -> None:
    for database in DATABASES:
        play(bench, {"database": database, "seconds": seconds / len(DATABASES)})


def replay(bench: Bench, case: dict[str, Any]) -> None:
    play(bench, case)


def play(bench: Bench, case: dict[str, Any]) -> None:
    """`ViolationError` when a pour is nowhere, or twice in the database."""
    directory = bench.place("hub")
    with ExitStack() as stack:
        url = stack.enter_context(running()).make_database() if case["database"] == "postgresql" else None
        hub = Hub(directory / "hub", url)
        stack.callback(hub.close)
        hub.start()
        bar = Bar([_add(bench, hub, directory / version, version) for version in versions()])
        daemons = [Daemon(device) for device in bar.devices]
        for daemon in daemons:
            stack.callback(daemon.kill)
        kills, faults = _live(bench, case, hub, bar, daemons)
    if faults:
        raise ViolationError("; ".join(faults[:5]) + f"; {directory} is kept", case)
    bench.say(f"{case['database']}: {len(bar.dropped)} pours, the hub was killed {kills} times: each is there once")


def _live(bench: Bench, case: dict[str, Any], hub: Hub, bar: Bar, daemons: list[Daemon]) -> tuple[int, list[str]]:
    """How often the hub was killed, and what is wrong."""
    chance = make_random("hub", bench.seed, case["database"])
    until_s, kills, number = time.monotonic() + case["seconds"], 0, 0

    def reload() -> None:
        for daemon in daemons:
            daemon.reload()

    while kills == 0 or time.monotonic() < until_s:
        reload()  # else a backoff may last longer than the hub
        dies_s = time.monotonic() + chance.uniform(*LIVES_S)
        while time.monotonic() < dies_s:
            bar.drop(number)
            number += 1
            time.sleep(PAUSE_S)
        hub.kill()
        kills += 1
        if faults := bar.faults(hub):
            return kills, faults
        hub.start()
    if not wait_while_falling(lambda: len(bar.waiting()), 1, nudge=reload):
        return kills, [f"{len(bar.waiting())} pours wait, and none went for {STILL_S:g} s: {bar.devices[0].tail()}"]
    faults = bar.faults(hub)
    faults += [f"{path} was never refused" for device in bar.devices for path in device.spool.glob("rejected/*")]
    return kills, faults


def _add(bench: Bench, hub: Hub, root: Path, version: str) -> Device:
    """A device that the hub knows, and that trusts the hub."""
    device = Device(root, hub.url(version), bench.authority)
    (root / "conf" / "ca.crt").write_bytes(hub.ca_pem)
    public = root / "public.pem"
    public.write_bytes(bench.authority.device_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    hub.command("devices", "add", device.uuid, public)
    return device
