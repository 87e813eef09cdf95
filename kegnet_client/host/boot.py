"""By what others tell one boot of this machine from another."""

import hashlib
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_mark(device: str, boot_id: Path = BOOT_ID) -> str | None:
    """16 hexadecimal digits that are this boot's for as long as it lasts, and ``device``'s; None where there are none.

    The kernel's own number stays here.
    """
    try:
        text = boot_id.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return hashlib.sha256(f"{device},{text}".encode()).hexdigest()[:16]
