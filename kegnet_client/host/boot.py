"""By what one boot of this machine is told from another.

A service with ``ProcSubset=pid`` finds only processes in ``/proc``, and not the kernel's number of the boot: its unit
hands that over, with ``Environment=KEGNET_BOOT_ID=%b``.
"""

import hashlib
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
HANDED_OVER = "KEGNET_BOOT_ID"


def read_boot_id(file: Path = BOOT_ID, environ: Mapping[str, str] = os.environ) -> str:
    """What the kernel calls this boot, and no other one. Raises `OSError` where nobody tells it."""
    try:
        return file.read_text("ascii").strip()
    except OSError:
        try:
            return str(uuid.UUID(environ[HANDED_OVER]))  # systemd leaves out the hyphens
        except (KeyError, ValueError):
            pass
        raise


def boot_mark(device: str, file: Path = BOOT_ID, environ: Mapping[str, str] = os.environ) -> str | None:
    """16 hexadecimal digits that are this boot's for as long as it lasts, and ``device``'s; None where there are none.

    The kernel's own number stays here.
    """
    try:
        text = read_boot_id(file, environ)
    except (OSError, ValueError):
        return None
    return hashlib.sha256(f"{device},{text}".encode()).hexdigest()[:16]
