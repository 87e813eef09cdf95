"""Where and what was measured: without it no figure means anything."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from .run import Settings


def about(settings: Settings) -> dict[str, str | int]:
    """The machine, the date, the program and its commit."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(settings.program),
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "program": _output([settings.program, "--version"]),
        "extent": "quick" if settings.quick else "full",
        "load": f"{os.getloadavg()[0]:.2f}",
    }


def headline(told: dict[str, str | int]) -> str:
    """The same, for people."""
    return (
        f"{told['program']} at {told['commit']}, {told['date']}, {told['extent']} run; {told['cores']} cores of "
        f"{told['cpu']}, Linux {told['kernel']}, Python {told['python']}, load at the start {told['load']}"
    )


def _commit(program: Path) -> str:
    """That of the checkout which the program's environment stands in, or else the bench's own."""
    for directory in (program.absolute().parent, Path(__file__).parent):
        if found := _output(["git", "-C", directory, "describe", "--always", "--dirty", "--abbrev=12"]):
            return found
    return "unknown"


def _output(command: list[str | Path]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()
