"""A device's root: the directory from which the relative paths of its configuration hang."""

from collections.abc import Mapping
from pathlib import Path

DEFAULT_ROOT = Path("/usr/share/kegnet-client")


def find_root(argument: str | None, environ: Mapping[str, str]) -> Path:
    """``--root``, else ``KEGNET_ROOT``, else where kegnet-client is installed."""
    return Path(argument or environ.get("KEGNET_ROOT") or DEFAULT_ROOT).absolute()
