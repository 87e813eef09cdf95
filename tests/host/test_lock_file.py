"""What stands under the name of a lock and is none is told by name, with what to do."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kegnet_client.host.lock_file import is_locked, take_lock

NAME = "a.lock"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, make_link, make_socket])
def test_what_is_no_regular_file_is_to_be_removed(tmp_path: Path, directory: int, make: Callable[[Path], None]) -> None:
    make(tmp_path / NAME)
    for use in (take_lock, is_locked):
        with pytest.raises(OSError, match=NAME) as caught:
            use(directory, NAME)
        assert caught.value.strerror == f"{NAME}, which is to be locked, is not a regular file; remove it"


def test_one_has_it_until_the_descriptor_is_closed(directory: int) -> None:
    held = take_lock(directory, NAME)
    assert held is not None
    assert is_locked(directory, NAME)
    assert take_lock(directory, NAME) is None
    os.close(held)
    assert not is_locked(directory, NAME)
