"""The section [Spool]: where records wait."""

from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_path


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """What the section says."""

    directory: Path


SPOOL = Section(
    "Spool",
    SpoolSettings,
    (
        Setting(
            "directory",
            "directory",
            ("Where pours and temperatures wait until the server has them.",),
            to_path,
            default="spool",
        ),
    ),
)
