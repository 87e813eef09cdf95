"""A program gets the GPIO lines that it was granted, by their descriptors, and never their chip."""

import os
from pathlib import Path

import pytest

from kegnet_client.core.errors import RunnerError
from kegnet_client.runner import box as box_module
from kegnet_client.runner.box import Box, Boxes
from kegnet_client.runner.gpio import request_line
from kegnet_client.runner.statement import Permissions

from ..support.descriptors import open_descriptors
from ..support.waits import WAIT_S

LINES = ("/dev/gpiochip0:17", "/dev/gpiochip0:22")
MAIN = """
import os
def main():
    for name in ("/dev/gpiochip0:22", "/dev/gpiochip0:17"):
        log("%s", os.pread(gpio_line(name).fileno(), 99, 0).decode())
    try:
        gpio_line("/dev/gpiochip0:18")
    except PermissionError as error:
        log("%s", error)
    log("%s", os.path.exists("/dev/gpiochip0"))
"""


def request_file(name: str) -> int:
    """A file that says its name, in place of the line ``name``."""
    fd = os.memfd_create("line")
    os.write(fd, name.encode())
    return fd


def said_by(box: Box) -> list[str]:
    out, _ = box.process.communicate(timeout=WAIT_S)
    box.close()
    return out.decode().splitlines()


@pytest.fixture
def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boxes:
    monkeypatch.setattr(box_module, "request_line", request_file)
    return Boxes((), tmp_path)


@pytest.mark.process
def test_a_module_has_the_lines_that_were_granted_and_not_their_chip(boxes: Boxes) -> None:
    before = open_descriptors()
    box = boxes.start({"main": MAIN}, (), Permissions(gpio=LINES), None)
    assert said_by(box) == [
        *reversed(LINES),
        f"/dev/gpiochip0:18 is not among the lines that this program was granted: {', '.join(LINES)}",
        "False",
    ]
    assert not open_descriptors() - before, "the runner keeps a line that it gave away"


@pytest.mark.process
def test_a_command_finds_the_number_of_its_line(boxes: Boxes) -> None:
    script = 'echo "$KEGNET_GPIO"; cat /proc/self/fd/${KEGNET_GPIO##*: }'
    (said, *_) = said_by(boxes.start({}, ("sh", "-c", script), Permissions(gpio=LINES[:1]), None))
    assert said.startswith(f'{{"{LINES[0]}": ')


@pytest.mark.parametrize(
    ("name", "why"),
    [("/dev/gpiochip99:1", "cannot be opened: No such file"), ("/dev/null:1", "it is no GPIO chip")],
)
def test_a_line_that_is_not_there_is_told_and_nothing_starts(tmp_path: Path, name: str, why: str) -> None:
    before = open_descriptors()
    with pytest.raises(RunnerError, match=why):
        request_line(name)
    with pytest.raises(RunnerError, match=why):
        Boxes((), tmp_path).start({"main": MAIN}, (), Permissions(gpio=(name,)), None)
    assert not open_descriptors() - before
