"""Whatever stands under a name, opening it neither blocks nor reads without end."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kegnet_client.host.regular_file import open_regular, read_regular

from ..support.descriptors import open_descriptors

KIB = 1024


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_terminal(path: Path) -> None:
    path.symlink_to("/dev/ptmx")


def test_a_file_up_to_the_bound_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * KIB)
    assert read_regular(tmp_path / "file", KIB) == b"x" * KIB
    assert read_regular(tmp_path / "file", KIB + 1) == b"x" * KIB


def test_a_file_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (KIB + 1))
    with pytest.raises(OSError, match="larger than 1 KiB"):
        read_regular(tmp_path / "file", KIB)


@pytest.mark.case(60)
@pytest.mark.parametrize("make", [make_fifo, make_socket, make_device, make_terminal])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "name")
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(tmp_path / "name", KIB)


def test_a_directory_is_called_one_and_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = open_descriptors()
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    assert open_descriptors() <= before


def test_a_link_is_followed_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("file")
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert read_regular("link", KIB, dir_fd=directory) == b"secret"
        with pytest.raises(OSError, match="not a regular file"):
            read_regular("link", KIB, dir_fd=directory, follow_link=False)
    finally:
        os.close(directory)
