"""An LED that the kernel knows: a directory of /sys/class/leds, whose file ``brightness`` switches it."""

import os
from pathlib import Path

from kegnet_client.core.errors import LineError


class KernelLed:
    """The LED ``name`` in ``directory``, which nothing else switches any more. Raises `LineError`, later `OSError`."""

    def __init__(self, name: str, directory: Path) -> None:
        path = directory / name
        if not path.is_dir():
            raise LineError(f"{directory} has no LED {name}: ls {directory} shows those that there are")
        try:
            # On a Raspberry Pi, ACT shows what the card does until it is told otherwise.
            _write(path / "trigger", "none")
            self._lit = (path / "max_brightness").read_text().strip()
            self._brightness = os.open(path / "brightness", os.O_WRONLY | os.O_CLOEXEC)
        except PermissionError:
            raise LineError(
                f"{path} may not be switched by this user: put it into the group gpio (sudo usermod -aG gpio USER), "
                "whose it is by service/60-kegnet-led.rules"
            ) from None
        except OSError as error:
            raise LineError(f"{path} cannot be switched: {error.strerror}") from error

    def light(self, is_lit: bool) -> None:
        """Switch it."""
        os.pwrite(self._brightness, f"{self._lit if is_lit else 0}\n".encode(), 0)

    def close(self) -> None:
        """Leave it as it is."""
        os.close(self._brightness)


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
