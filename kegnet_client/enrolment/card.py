"""A device on its card: enrolled from another machine, where the card is mounted, or by itself at its first boot.

At its first boot it looks for `BOOT_FILE` on its boot partition, which every machine can write to: the line that ``hub
invite`` printed. The file holds a secret that is good once, and is removed when it was used. Nobody watches a device
that boots: what a person has to fix is written beside the file.

Security: who can write to a card's boot partition can do anything with the device anyway.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from kegnet_client.core.errors import UsageError
from kegnet_client.host.atomic_file import sync_directory
from kegnet_client.host.regular_file import read_regular
from kegnet_client.host.root import DEFAULT_ROOT

BOOT_DIRECTORIES = (Path("/boot/firmware"), Path("/boot"))
BOOT_FILE = "kegnet-enroll.txt"
ERROR_FILE = "kegnet-enroll-error.txt"
_MAX_BYTES = 4096
_LINKS = ("conf", "spool")


@dataclass(frozen=True, slots=True)
class BootFile:
    """What `BOOT_FILE` at ``path`` asks for."""

    path: Path
    url: str
    code: str
    replace: bool

    def remove(self) -> None:
        """It was used: let nothing of it stay."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        with contextlib.suppress(FileNotFoundError):
            self.path.with_name(ERROR_FILE).unlink()
        sync_directory(self.path.parent)


def find_boot_file(directories: tuple[Path, ...] = BOOT_DIRECTORIES) -> Path:
    """Where it is; `UsageError` if it is nowhere."""
    for directory in directories:
        if (directory / BOOT_FILE).exists():
            return directory / BOOT_FILE
    places = " or ".join(str(directory) for directory in directories)
    raise UsageError(f"there is no {BOOT_FILE} in {places}: put the line there that `kegnet-client hub invite` prints")


def read_boot_file(path: Path) -> BootFile:
    """What it asks for; `UsageError` where it holds no such line."""
    try:
        text = read_regular(path, _MAX_BYTES).decode("utf-8-sig", "replace")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    words = lines[0] if len(lines) == 1 else []
    while words and words[0] in ("sudo", "kegnet-client", "enroll"):
        words = words[1:]
    replace = words[:1] == ["--replace"]
    words = words[1:] if replace else words
    if len(words) != 2:
        raise UsageError(f"{path}: expected one line, as `kegnet-client hub invite` prints it: enroll URL CODE")
    return BootFile(path, words[0], words[1], replace)


def write_error(path: Path, text: str) -> None:
    """Say beside the file at ``path`` what is wrong, for whoever looks at the card."""
    with contextlib.suppress(OSError):  # the log has it, too
        path.with_name(ERROR_FILE).write_text(f"{text}\n", "utf-8")


def root_on_card(root: Path) -> Path:
    """The device's root in ``root``, which may be the root of a mounted card.

    Links there that go by ``/`` would lead out of the card, to this machine's own device: they are made relative.
    """
    inner = root / DEFAULT_ROOT.relative_to("/")
    if not inner.is_dir():
        return root
    for name in _LINKS:
        link = inner / name
        if link.is_symlink() and (target := link.readlink()).is_absolute():
            relative = os.path.relpath(root / target.relative_to("/"), inner)
            new = link.with_name(f".{name}.new")
            new.unlink(missing_ok=True)
            new.symlink_to(relative)
            new.rename(link)
    return inner
