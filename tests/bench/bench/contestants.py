"""Who is measured: each is a process that delivers what stands in a device's spool, and what comes into it."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from .sink import PROGRAMS
from .stage import Device

FLOOR = "floor"
PROGRAM = "this program"
ORIGINAL = "original's way"
SYSLOG_NG = "syslog-ng"
CURL = "curl"
COLUMNS = (FLOOR, PROGRAM, ORIGINAL, SYSLOG_NG, CURL)


@dataclass(frozen=True)
class Command:
    """How to start it."""

    argv: list[str | Path]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Contestant(Protocol):
    """Its column in the table; whether it empties the spool; why it cannot take part here, if it cannot."""

    column: str
    removes: bool

    def absence(self) -> str | None: ...

    def command(self, device: Device) -> Command: ...


class Floor:
    """``programs/floor.py`` over so many connections."""

    column = FLOOR
    removes = True

    def __init__(self, connections: int = 1) -> None:
        self._connections = connections

    def absence(self) -> str | None:
        """Never."""
        return None

    def command(self, device: Device) -> Command:
        """What it is told stands in one argument."""
        work = {
            "port": device.port,
            "ca": str(device.ca),
            "key": str(device.key),
            "device": device.uuid,
            "spool": str(device.spool),
            "protocol": device.protocol,
            "connections": self._connections,
        }
        return Command([sys.executable, PROGRAMS / "floor.py", json.dumps(work)])


class Program:
    """``kegnet-client run``, the executable at ``path``."""

    column = PROGRAM
    removes = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def absence(self) -> str | None:
        """The executable may be missing."""
        return None if shutil.which(self._path) else f"{self._path} is not here"

    def command(self, device: Device) -> Command:
        """It finds everything below its root."""
        return Command([self._path, "run"], {"KEGNET_ROOT": str(device.root)})
