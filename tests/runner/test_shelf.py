"""What the runner keeps is read back, or left out; what a program keeps is measured, however it is laid out.

No program can end the runner by it, or hide from it.
"""

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.runner.shelf import Shelf, size_of

GOOD_PROGRAM: dict[str, Any] = {"signer": "ann", "name": "tap", "id": "a1", "current": {}, "good": None, "broken": []}
GOOD_COMMAND: dict[str, Any] = {
    "digest": "d",
    "id": "c1",
    "answers_in_place": False,
    "expires_ms": 1,
    "result": None,
    "is_told": False,
}
MOST_BYTES = 1024 * 1024
MOST_FILES = 10_000


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "state"
    directory.mkdir()
    yield directory
    subprocess.run(["rm", "-rf", directory], check=True)  # deeper than Python's own can go


@pytest.mark.case(129)
def test_what_is_kept_is_read_back_and_files_of_another_shape_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path)
    for directory, good in (("programs", GOOD_PROGRAM), ("commands", GOOD_COMMAND)):
        damaged: list[Any] = [{**good, name: 1.5} for name in good]
        damaged += [{key: value for key, value in good.items() if key != name} for name in good]
        damaged += [[], None, "x", {}, {"current": []}]
        for number, one in enumerate([good, *damaged]):
            (tmp_path / directory / f"{number}.json").write_text(json.dumps(one))
        (tmp_path / directory / "deep.json").write_text("[" * 100_000)
    assert [asdict(one) for one in shelf.programs()] == [GOOD_PROGRAM]
    assert [asdict(one) for one in shelf.commands()] == [GOOD_COMMAND]
    assert caplog.text.count("it is left out") == 2 * (6 + 6 + 5 + 1)


def nest(directory: Path, name: str, depth: int) -> None:
    """Directories in each other, made as a program can: one step at a time."""
    fd = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


def test_files_are_counted_in_all_directories(state: Path) -> None:
    (state / "a/b").mkdir(parents=True)
    before = size_of(state, MOST_BYTES, MOST_FILES)
    (state / "a/b/data").write_bytes(b"x" * 8192)
    (state / "link").symlink_to("/usr")
    assert before + 8192 <= size_of(state, MOST_BYTES, MOST_FILES) <= MOST_BYTES


def test_directories_in_each_other_a_thousand_deep_are_measured(state: Path) -> None:
    nest(state, "d", 1500)
    assert size_of(state, 64 * MOST_BYTES, MOST_FILES) <= 64 * MOST_BYTES


def test_a_path_too_long_to_be_looked_at_is_too_large(state: Path) -> None:
    nest(state, "d" * 100, 100)
    assert size_of(state, 64 * MOST_BYTES, MOST_FILES) > 64 * MOST_BYTES


@pytest.mark.skipif(os.geteuid() == 0, reason="root can look into every directory")
def test_a_directory_that_was_closed_to_be_looked_into_is_too_large(state: Path) -> None:
    (state / "closed").mkdir()
    (state / "closed").chmod(0)
    try:
        assert size_of(state, MOST_BYTES, MOST_FILES) > MOST_BYTES
    finally:
        (state / "closed").chmod(stat.S_IRWXU)


def test_too_many_files_are_too_large(state: Path) -> None:
    for number in range(20):
        (state / str(number)).touch()
    assert size_of(state, MOST_BYTES, 10) > MOST_BYTES
