"""A device in a directory of its own."""

from dataclasses import dataclass
from pathlib import Path

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.parse import load
from kegnet_client.config.settings import Config
from kegnet_client.keys import Identity, load_identity
from kegnet_client.sinks.kegnet_section import KEGNET, KegNetSettings
from kegnet_client.spool.section import SPOOL


@dataclass
class Device:
    """A device that the hub knows."""

    root: Path
    config: Config

    @property
    def file(self) -> Path:
        return self.config.file

    @property
    def spool(self) -> Path:
        return self.config.section(SPOOL).directory

    @property
    def settings(self) -> KegNetSettings:
        return self.config.section(KEGNET)

    @property
    def key(self) -> Path:
        return self.settings.private_key

    @property
    def uuid(self) -> str:
        return self.settings.uuid

    def load(self, file: Path | None = None) -> Config:
        """What its client.conf says now, or another ``file`` in its place."""
        return load(self.root, file, SECTIONS)

    def identity(self, suffix: str = "") -> Identity:
        path = self.key.with_name(self.key.name + suffix)
        return load_identity(self.uuid, path, self.settings.base.version)

    def beside(self) -> set[str]:
        """What stands beside the key under its name, but for what it said of others, which stays."""
        names = {path.name for path in self.key.parent.iterdir() if path.name.startswith(self.key.name)}
        return names - {self.key.name, f"{self.key.name}.words"}
