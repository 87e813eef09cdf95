"""A device in a directory of its own."""

from dataclasses import dataclass
from pathlib import Path

from kegnet_client import config
from kegnet_client.keys import Identity, load_identity


@dataclass
class Device:
    """A device that the hub knows."""

    root: Path
    settings: config.Config

    @property
    def key(self) -> Path:
        return self.settings.private_key

    @property
    def uuid(self) -> str:
        return self.settings.uuid

    def identity(self, suffix: str = "") -> Identity:
        path = self.key.with_name(self.key.name + suffix)
        return load_identity(self.uuid, path, self.settings.base.version)

    def beside(self) -> set[str]:
        """What stands beside the key under its name."""
        return {path.name for path in self.key.parent.iterdir() if path.name.startswith(self.key.name)} - {
            self.key.name
        }
