"""What every part of the rig stands on: a device's directory, the program as a process, and figures of it.

A part finds a fault by raising `ViolationError`, whose ``case`` is all that a replay needs.
"""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authority import Authority
from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.edit import fill, render
from kegnet_client.core.wire.base_url import Version
from kegnet_client.producers.thermometer_section import THERMOMETER
from kegnet_client.sinks.kegnet_section import KEGNET
from patience import STILL_S

COMMAND = Path(sys.executable).with_name("kegnet-client")
ONE_MS = 1_700_000_000_000
"""When the first record of every part was taken: late enough for milliseconds, and never now."""


class ViolationError(Exception):
    """A promise is broken. ``case`` goes into the file that ``--replay`` takes."""

    def __init__(self, what: str, case: dict[str, Any]) -> None:
        super().__init__(what)
        self.case = case


@dataclass(frozen=True, slots=True)
class Bench:
    """``directory`` is where the parts make their things; it is kept after a violation."""

    directory: Path
    authority: Authority
    seed: int
    say: Callable[[str], None]

    def place(self, name: str) -> Path:
        """A new directory."""
        path = self.directory / f"{name}-{uuid.uuid4().hex[:8]}"
        path.mkdir(parents=True)
        return path


def make_random(*seed: object) -> random.Random:
    """The same seed, the same schedule."""
    return random.Random("-".join(map(str, seed)))  # noqa: S311  # it draws schedules, not secrets


def versions() -> list[str]:
    """The protocols that the program under test speaks and that lose nothing of a record's time."""
    return [version.value for version in Version if version.value != "v1"]


def version_of(number: int) -> str:
    """The protocols in turn."""
    spoken = versions()
    return spoken[number % len(spoken)]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a process takes up."""

    rss_kib: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return f"{self.rss_kib / 1024:.1f} MiB, {self.descriptors} descriptors, {self.threads} threads"


def figures(pid: int) -> Figures:
    status = Path(f"/proc/{pid}/status").read_text()
    values = dict(line.split(":", 1) for line in status.splitlines())
    descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Figures(int(values["VmRSS"].split()[0]), descriptors, int(values["Threads"]))


class Daemon:
    """``kegnet-client run``, with its log in ``log``."""

    def __init__(self, device: "Device") -> None:
        with device.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*device.program, "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=device.environment(),
                **device.options,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_running(self) -> bool:
        return self.process.poll() is None

    def listens(self) -> bool:
        """Whether it takes signals as it should: before, they end it."""
        # The thread that waits for one does not block it; its others do.
        return any(_blocks_hangup(path) for path in Path(f"/proc/{self.pid}/task").glob("*/status"))

    def await_signals(self) -> None:
        if not wait_until(lambda: not self.is_running() or self.listens(), STILL_S):
            raise RuntimeError("the daemon does not get ready for signals")

    def reload(self) -> None:
        self.await_signals()
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> int:
        """The exit code."""
        if self.is_running():
            self.await_signals()
            self.process.terminate()
        return self.process.wait(STILL_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _blocks_hangup(status: Path) -> bool:
    with suppress(OSError):  # threads come and go
        blocked = next(line for line in status.read_text().splitlines() if line.startswith("SigBlk"))
        return bool(int(blocked.split()[1], 16) & 1 << signal.SIGHUP - 1)
    return False


@dataclass(slots=True)
class Device:
    """A root directory with key, CA bundle and configuration, for the server at ``url``."""

    root: Path
    url: str
    authority: Authority
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    variables: dict[str, str] = field(default_factory=dict)
    """More of the environment of its programs."""
    program: Sequence[str | Path] = (COMMAND,)
    """What starts its daemon; ``options``, of Popen, go with it."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spool.mkdir(parents=True)
        (self.root / "w1").mkdir()
        conf = self.root / "conf"
        conf.mkdir()
        key = conf / "privkey.pem"
        key.touch(0o600)
        key.write_bytes(self.authority.device_pem)
        (conf / "ca.crt").write_bytes(self.authority.ca_pem)
        self.configure()

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def log(self) -> Path:
        return self.root / "log"

    def configure(self, **settings: str) -> None:
        """Write client.conf, with these settings of [KegNet] besides the necessary ones."""
        text = fill(render(SECTIONS), THERMOMETER, {"directory": "w1"})
        text = fill(text, KEGNET, {"uuid": self.uuid, "base": self.url, "deadline_s": "2", **settings})
        (self.root / "conf" / "client.conf").write_text(text)

    def plug(self, sensor: str, millidegrees: int) -> None:
        """A thermometer at so many degrees, in the kernel's words."""
        data = "72 01 4b 46 7f ff 0e 10 57"
        path = self.root / "w1" / sensor / "w1_slave"
        path.parent.mkdir(parents=True)
        path.write_text(f"{data} : crc=57 YES\n{data} t={millidegrees}\n")

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return {**kept, "LC_ALL": "C.UTF-8", "KEGNET_ROOT": str(self.root), **self.variables}

    def command(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            [COMMAND, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            cwd="/",
        )

    def waiting(self, foreign: Sequence[str] = ()) -> list[str]:
        """The names in the spool that nobody told it to leave there."""
        return sorted({path.name for path in self.spool.iterdir()} - set(foreign) - {"rejected"})

    def tail(self) -> str:
        """The last lines of the daemon's log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-15:]) if self.log.exists() else ""


def wait_until(done: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it came true in that time."""
    until_s = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.005)
    return True
