"""The bench's side of `bench.programs`: helpers that are asked over a pipe."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .process import NoFigureError, Process

BENCH = Path(__file__).resolve().parents[1]
ENVIRONMENT = {"PYTHONPATH": str(BENCH)}


def python(program: str, *arguments: str) -> list[str]:
    """The command that runs one of `bench.programs`; it takes `ENVIRONMENT`."""
    return [sys.executable, "-m", f"bench.programs.{program}", *arguments]


class StalledError(NoFigureError):
    """Nothing arrived for so long that nothing will."""


class Helper:
    """A program of the bench's own that prints one line of JSON at its start and for each line that it is told."""

    def __init__(self, name: str, *arguments: str | int) -> None:
        self._name = name
        self._process = subprocess.Popen(
            python(name, *map(str, arguments)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
            env={"PATH": os.environ["PATH"], **ENVIRONMENT},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.port: int = self._answer()["port"]

    def close(self) -> None:
        """End it."""
        self._stdin.close()
        self._process.kill()
        self._process.wait()
        self._stdout.close()

    def ask(self, command: str) -> Any:
        """Its answer to ``command``."""
        self._stdin.write(command + "\n")
        self._stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        line = self._stdout.readline()
        if not line:
            raise NoFigureError(f"the bench's own {self._name} ended; what it said stands above")
        return json.loads(line)


@dataclass(frozen=True)
class Arrivals:
    """What reached the sink; times are of CLOCK_MONOTONIC, in nanoseconds."""

    pours: int
    requests: list[tuple[int, int]]
    """When, and with how many pours."""
    marked: dict[int, int]
    """When the pour of so many pulses came, for those that it was told to note."""
    connections: int
    most_open: int
    cpu_share: float

    @property
    def first_ns(self) -> int:
        """When the first request came."""
        return self.requests[0][0]

    @property
    def last_ns(self) -> int:
        """When the last request came."""
        return self.requests[-1][0]


class Sink(Helper):
    """The server of the client's rows."""

    def __init__(self, chain: Path) -> None:
        super().__init__("sink", str(chain))

    def wait(self, pours: int, process: Process, patience_s: float) -> None:
        """Until ``pours`` have arrived. `EndedError` or `StalledError` when they will not."""
        give_up_s = time.monotonic() + patience_s
        while not self.ask(f"wait {pours}"):
            process.check()
            if time.monotonic() > give_up_s:
                raise StalledError(f"nothing more after {patience_s:.0f} s")

    def reset(self) -> None:
        """Forget what was counted."""
        self.ask("reset")

    def report(self) -> Arrivals:
        """What was counted."""
        told = self.ask("report")
        told["requests"] = [(at_ns, pours) for at_ns, pours in told["requests"]]
        told["marked"] = {int(pulses): at_ns for pulses, at_ns in told["marked"].items()}
        return Arrivals(**told)
