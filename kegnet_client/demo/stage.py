"""Sets the demo up in a directory of its own and runs its processes; everything is gone afterwards."""

import contextlib
import os
import pty
import queue
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

import requests

from kegnet_client.core.errors import KegnetError
from kegnet_client.demo.thermometer import FIRST_STEPS, SENSOR, show_temperature

PING_INTERVAL_S = 10
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0


class Stage:
    """A hub, a device registered with it, and what they say, line by line."""

    def __init__(self) -> None:
        self._lines: queue.Queue[tuple[str, str | None]] = queue.Queue()
        self._home = tempfile.TemporaryDirectory(prefix="kegnet-demo-")
        self._processes: list[subprocess.Popen[bytes]] = []
        directory = Path(self._home.name)
        self.root = directory / "device"
        self.hub = directory / "hub"
        self.tree = directory / "w1"
        self.url = ""

    @property
    def spool(self) -> Path:
        """Where records wait."""
        return self.root / "spool"

    @property
    def token(self) -> str:
        """What the hub's readers have to show."""
        return (self.hub / "token").read_text("ascii").strip()

    def set_up(self) -> None:
        """Start the hub, make the device, register it, start its daemon."""
        command = [sys.executable, "-P", "-m", "kegnet_client.cli"]
        self._call(*command, "hub", "init", "--dir", str(self.hub), "--host", "localhost", "--host", "127.0.0.1")
        self.start("hub", *command, "hub", "run", "--dir", str(self.hub), "--bind", "127.0.0.1", "--port", "0")
        self.url = self.wait_for("hub", r"https://\S+:[0-9]+")
        ca = str(self.hub / "ca.crt")
        self._call(*command, "init", "--root", str(self.root), "--url", f"{self.url}/rest/v3", "--ca", ca)
        conf = self.root / "conf" / "client.conf"
        text = conf.read_text("utf-8")
        uuid = re.search(r"^uuid *= *(\S+)", text, re.MULTILINE)
        if uuid is None:
            raise KegnetError(f"{conf}: no uuid after init")
        key = str(self.root / "conf" / "device.pub")
        self._call(
            *command, "hub", "devices", "add", uuid[1], key, "--name", "Demo bar", "--dir", str(self.hub)
        )  # fmt: skip
        self._set_up_taps(uuid[1])
        text = re.sub(r"^#?(pingInterval) *=.*", rf"\1 = {PING_INTERVAL_S}", text, flags=re.MULTILINE)
        head, thermometer, rest = text.partition("[Thermometer]")
        rest = re.sub(r"^#?(directory) *=.*", rf"\1 = {self.tree}", rest, count=1, flags=re.MULTILINE)
        conf.write_text(head + thermometer + rest, "utf-8")
        show_temperature(self.tree, FIRST_STEPS)
        self.start("client", *command, "run", "--root", str(self.root))
        self.wait_for("client", "delivers from")

    def _set_up_taps(self, device: str) -> None:
        """Tell the hub what a person would: two taps, one with a thermometer, and the kegs that run there."""
        with requests.Session() as session:
            # The demo talks to this machine, whatever proxy the environment names.
            session.trust_env = False
            session.verify = os.fspath(self.hub / "ca.crt")
            session.headers["Authorization"] = f"Bearer {self.token}"
            said: list[tuple[str, dict[str, Any]]] = [
                ("taps", {"name": "Demo tap", "meters": [{"device": device, "pin": 0}], "sensor": SENSOR}),
                ("beverages", {"name": "Helles", "style": "Lager", "abv_percent": 4.9}),
                ("kegs", {"beverage": 1, "size_ml": 20_000, "taps": [{"tap": 1}]}),
                # Nobody pours from this one: it is so low that it is an alarm.
                ("taps", {"name": "Tap at the wall", "meters": [{"device": device, "pin": 1}]}),
                ("beverages", {"name": "Pale ale", "style": "Ale", "abv_percent": 5.4}),
                ("kegs", {"beverage": 2, "size_ml": 30_000, "start_ml": 3_600, "taps": [{"tap": 2}]}),
            ]
            for kind, body in said:
                session.post(f"{self.url}/api/{kind}", json=body, timeout=START_TIMEOUT_S).raise_for_status()

    def start(self, who: str, *command: str) -> None:
        """Run ``command`` until the end; on a terminal of its own, so that it logs there."""
        ours, its = pty.openpty()
        # In a session of its own: Ctrl-C reaches the demo alone, which then ends everything in order.
        process = subprocess.Popen(  # noqa: S603 - our own programs
            command,
            stdin=subprocess.DEVNULL,
            stdout=its,
            stderr=its,
            start_new_session=True,
            env={**os.environ, "KEGNET_DEMO_TOKEN": self.token},
        )
        os.close(its)
        self._processes.append(process)
        threading.Thread(target=self._listen, args=(who, os.fdopen(ours, "rb")), name=who, daemon=True).start()

    def next_line(self, timeout_s: float | None = None) -> tuple[str, str]:
        """Who says what next. Raises `KegnetError` when a process has ended, or nobody says anything in time."""
        try:
            who, line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise KegnetError(f"nothing happened for {timeout_s:g} s") from None
        if line is None:
            raise KegnetError(f"{who} has ended; what it said stands above")
        return who, line

    def wait_for(self, who: str, pattern: str, timeout_s: float = START_TIMEOUT_S) -> str:
        """What matches ``pattern`` in the next line of ``who`` that has it; without one, all that was said is shown."""
        seen: list[tuple[str, str]] = []
        while True:
            try:
                seen.append(self.next_line(timeout_s))
            except KegnetError:
                for one in seen:
                    print(f"{one[0]:<12} {one[1]}", file=sys.stderr)
                raise
            speaker, line = seen[-1]
            match = re.search(pattern, line) if speaker == who else None
            if match:
                return match[0]

    def tear_down(self) -> None:
        """End what was started, the last first, and remove the directory."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._home.cleanup()

    def _call(self, *command: str) -> None:
        done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 - our own programs
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise KegnetError(f"{' '.join(command)} failed: {done.stderr.strip()}")

    def _listen(self, who: str, terminal: IO[bytes]) -> None:
        with terminal, contextlib.suppress(OSError):  # an error is how a terminal ends whose processes have gone
            for line in terminal:
                self._lines.put((who, line.decode("utf-8", "replace").rstrip()))
        self._lines.put((who, None))
