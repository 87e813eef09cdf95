"""A program of the runner's with a line of a real chip: all that it may do with it, and nothing with another one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kegnet_client.core.errors import RunnerError
from kegnet_client.runner import inside
from kegnet_client.runner.gpio import request_line

from .tap import CHIP, Tap

pytestmark = pytest.mark.slow

PRELUDE = "line = gpio_line('{}')\ndef main():\n"


@pytest.fixture
def chip() -> str:
    return "/dev/" + (CHIP / "bank0/chip_name").read_text().strip()


@pytest.fixture
def line(chip: str) -> Iterator[int]:
    fd = request_line(f"{chip}:17")
    yield fd
    os.close(fd)


def value_of(line: int) -> str:
    device, bank = ((CHIP / name).read_text().strip() for name in ("dev_name", "bank0/chip_name"))
    return Path(f"/sys/devices/platform/{device}/{bank}/sim_gpio{line}/value").read_text().strip()


def start(chip: str, line: int, *statements: str) -> "subprocess.Popen[str]":
    """The first program of a box, without the box: that kernel has no namespaces."""
    life, ours = os.pipe()
    source = PRELUDE.format(f"{chip}:17") + "".join(f"    {one}\n" for one in statements)
    job = Path(inside.JOB)
    job.parent.mkdir(exist_ok=True)
    job.write_text(json.dumps({"modules": {"main": source}, "command": [], "limits": {}, "life_fd": life}))
    process = subprocess.Popen(
        [sys.executable, "-I", inside.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=(life, line, ours),  # so that the other end of the pipe is open as long as the program lives
        env={inside.LINES: json.dumps({f"{chip}:17": line}), "PYTHONUNBUFFERED": "1"},
    )
    os.close(life)
    os.close(ours)
    return process


def test_an_input_tells_its_value_and_each_of_its_edges(chip: str, line: int, tap: Tap) -> None:
    program = start(
        chip,
        line,
        "line.be_input('up', edges=True)",
        "log('%s', line.get())",
        "log([line.read_edge()[1] for _ in 'four'])",
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "1\n"
    tap.turn(2, 100)
    assert program.communicate()[0] == "[False, True, False, True]\n"


def test_an_output_drives_its_line(chip: str, line: int) -> None:
    steps = ("line.be_output(1)", "log('on')", "import sys; sys.stdin.readline()", "line.set(0)", "log('off')")
    program = start(chip, line, *steps, "sys.stdin.readline()")
    assert program.stdin is not None
    assert program.stdout is not None
    for said, value in (("on", "1"), ("off", "0")):
        assert program.stdout.readline() == f"{said}\n"
        assert value_of(17) == value
        program.stdin.write("go on\n")
        program.stdin.flush()
    program.communicate()


def test_by_its_descriptor_no_other_line_is_to_be_had(chip: str, line: int) -> None:
    steps = ("import fcntl", "try: fcntl.ioctl(line.fileno(), 0xC250B407, bytearray(592))")
    program = start(chip, line, *steps, "except OSError as error: log('%s', error.strerror)")
    assert program.communicate()[0] in ("Invalid argument\n", "Inappropriate ioctl for device\n")


def test_a_line_is_one_programs_alone_until_it_ends(chip: str) -> None:
    fd = request_line(f"{chip}:17")
    with pytest.raises(RunnerError, match="another program has this line"):
        request_line(f"{chip}:17")
    os.close(fd)
    os.close(request_line(f"{chip}:17"))


def test_a_line_that_the_chip_has_not_is_told(chip: str) -> None:
    with pytest.raises(RunnerError, match="the chip has no such line"):
        request_line(f"{chip}:99")
