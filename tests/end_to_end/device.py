"""A device that was set up and runs as the README says."""

import re
from dataclasses import dataclass
from pathlib import Path

from ..support.program import Log


@dataclass
class Device:
    """A root that ``kegnet-client init`` made, and its running daemon's log."""

    root: Path
    log: Log

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def uuid(self) -> str:
        match = re.search(r"^uuid *= *(\S+)", (self.root / "conf" / "client.conf").read_text(), re.MULTILINE)
        assert match
        return match[1]
