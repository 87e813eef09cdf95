"""Single GPIO lines for a program: the runner asks the chip for a line, and the program gets the line's descriptor.

The device of a chip gives each of its lines to whoever may open it, so it is never in the box of a program that was
granted lines alone. By the descriptor of a line the kernel lets nobody do anything with another one, nor with the chip.
A line is asked for as it stands: the program says whether it is an input, and one that drives something goes on so
until then. It is given back when the box ends.
"""

import errno
import fcntl
import os
import re
import struct

from kegnet_client.core.errors import RunnerError

CONSUMER = b"kegnet-runner"
_NAME = re.compile(r"(/dev/[A-Za-z0-9][A-Za-z0-9_-]{0,63}):(0|[1-9][0-9]{0,3})")
_GET_LINE = 0xC250B407
"""GPIO_V2_GET_LINE_IOCTL of linux/gpio.h, with its struct gpio_v2_line_request."""
_REQUEST = struct.Struct("=I252x32s272xI24xi")
"""The first of 64 offsets, who asks, no configuration, the number of lines, and where the descriptor comes back."""


def is_gpio_line(value: object) -> bool:
    """Whether ``value`` names a line of a chip, such as ``/dev/gpiochip0:17``."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def request_line(name: str) -> int:
    """The descriptor of the line ``name``, such as ``/dev/gpiochip0:17``. Raises `RunnerError`."""
    chip, _, offset = name.rpartition(":")
    try:
        fd = os.open(chip, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise RunnerError(f"{name}: {chip} cannot be opened: {error.strerror}") from None
    request = bytearray(_REQUEST.pack(int(offset), CONSUMER, 1, 0))
    try:
        fcntl.ioctl(fd, _GET_LINE, request)
    except OSError as error:
        raise RunnerError(f"{name}: {_explain(error)}") from None
    finally:
        os.close(fd)
    return int(_REQUEST.unpack(request)[3])


def _explain(error: OSError) -> str:
    match error.errno:
        case errno.EBUSY:
            return "another program has this line"
        case errno.EINVAL:
            return "the chip has no such line"
        case errno.ENOTTY:
            return "it is no GPIO chip"
        case _:
            return str(error.strerror)
