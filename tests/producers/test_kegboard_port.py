"""A board's line is found, read and written to; a pseudo terminal stands for the serial port."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from kegnet_client.core.errors import BoardError
from kegnet_client.core.wire.kegboard import PREFIX, Event, encode
from kegnet_client.core.wire.kegboard_messages import HelloMessage, MeterStatusMessage, PingCommand, SetOutputCommand
from kegnet_client.demo.kegboard_pty import KegboardPty
from kegnet_client.demo.simulated_kegboard import SimulatedBoard
from kegnet_client.producers import kegboard_port
from kegnet_client.producers.base import Stop
from kegnet_client.producers.kegboard_port import BoardPort, find_ports, open_board

from ..support.waits import WAIT_S, wait_until

T = TypeVar("T")
PINT = MeterStatusMessage("flow0", 2200)


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """A /dev without ports."""
    (tmp_path / "dev").mkdir()
    return tmp_path / "dev"


@pytest.fixture
def board(dev: Path) -> Iterator[KegboardPty]:
    """A board that is plugged in as ttyUSB1."""
    board = KegboardPty(SimulatedBoard(time.monotonic(), serial_number="KB-1"), dev / "ttyUSB1")
    yield board
    board.close()


@pytest.fixture
def mute(dev: Path) -> Iterator[Path]:
    """Something else that is plugged in as ttyUSB0, and says nothing."""
    ours, theirs = os.openpty()
    (dev / "ttyUSB0").symlink_to(os.ttyname(theirs))
    yield dev / "ttyUSB0"
    os.close(ours)
    os.close(theirs)


def next_of(port: BoardPort, kind: type[T]) -> T:
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        for event in port.read(1.0):
            if isinstance(event, kind):
                return event
    pytest.fail(f"no {kind.__name__} came")


def read_on(port: BoardPort) -> None:
    while True:
        port.read(None)


def test_each_port_is_found_once_and_by_the_name_that_stays(dev: Path) -> None:
    assert list(find_ports(dev)) == []
    (dev / "serial/by-id").mkdir(parents=True)
    for name in ("ttyACM0", "ttyUSB1", "ttyUSB0", "ttyS0"):
        (dev / name).touch()
    (dev / "serial/by-id/usb-Arduino-if00").symlink_to("../../ttyUSB1")
    assert [str(path.relative_to(dev)) for path in find_ports(dev)] == [
        "serial/by-id/usb-Arduino-if00",
        "ttyUSB0",
        "ttyACM0",
    ]


def test_the_board_is_the_one_that_says_hello(
    dev: Path, board: KegboardPty, mute: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kegboard_port, "HELLO_S", 0.5)
    with open_board(None, Stop(), dev) as port:
        assert port.path == dev / "ttyUSB1"
        port.send(PingCommand())
        assert next_of(port, HelloMessage).serial_number == "KB-1"
    # What is none is left to others.
    BoardPort(mute, Stop()).close()


def test_without_a_board_it_is_said_what_there_is_and_what_to_do(
    dev: Path, mute: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kegboard_port, "HELLO_S", 0.1)
    with pytest.raises(BoardError, match="ttyUSB0: nothing there says hello as a Kegboard does"):
        open_board(None, Stop(), dev)
    mute.unlink()
    with pytest.raises(BoardError, match=r"there is no serial port of USB in .*: plug the board in"):
        open_board(None, Stop(), dev)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "no such device: plug the board in"),
        (lambda path: path.touch(), "it is no serial port"),
        (lambda path: path.mkdir(), "it is no serial port"),
    ],
    ids=["missing", "file", "directory"],
)
def test_what_is_named_and_is_none_is_told(tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    make(tmp_path / "port")
    with pytest.raises(BoardError, match=f"{tmp_path}/port: {why}"):
        open_board(tmp_path / "port", Stop())


def test_a_board_is_held_by_one_program(board: KegboardPty) -> None:
    assert board.path
    with BoardPort(board.path, Stop()), pytest.raises(BoardError, match="another program has it open"):
        BoardPort(board.path, Stop())
    BoardPort(board.path, Stop()).close()


def test_without_pyserial_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(BoardError, match=r"pyserial is missing: pip install 'kegnet-client\[kegboard\]'"):
        BoardPort(Path("/dev/null"), Stop())


def test_what_a_board_says_while_nobody_listens_is_no_news_later(board: KegboardPty) -> None:
    assert board.path
    board.say(encode(PINT))
    with BoardPort(board.path, Stop()) as port:
        board.say(encode(MeterStatusMessage("flow0", 2201)))
        assert next_of(port, MeterStatusMessage).meter_reading == 2201


def test_a_command_reaches_the_board(board: KegboardPty) -> None:
    assert board.path
    with BoardPort(board.path, Stop()) as port:
        port.send(SetOutputCommand(2, True))
        wait_until(lambda: board.outputs == {2}, "the relay is not on")


def test_a_frame_behind_a_length_that_lies_comes_as_soon_as_the_line_is_silent(board: KegboardPty) -> None:
    assert board.path
    with BoardPort(board.path, Stop()) as port:
        port.read(0.5)  # the board's hello
        board.say(PREFIX + b"\x10\x00\x70\x00" + encode(PINT))
        assert next_of(port, MeterStatusMessage) == PINT


def test_a_frame_that_comes_slowly_is_whole(board: KegboardPty) -> None:
    assert board.path
    with BoardPort(board.path, Stop()) as port:
        next_of(port, HelloMessage)
        heard: list[Event] = []
        for byte in encode(PINT):
            board.say(bytes((byte,)))
            heard += port.read(0.01)
        assert (heard or port.read(1.0))[-1] == PINT


def test_a_board_that_is_unplugged_is_told_at_once(board: KegboardPty) -> None:
    assert board.path
    with BoardPort(board.path, Stop()) as port:
        threading.Timer(0.2, board.unplug).start()
        with pytest.raises(BoardError, match="the board was unplugged"):
            read_on(port)
        with pytest.raises(BoardError, match="the board was unplugged"):
            port.send(PingCommand())


@pytest.mark.case(159)
def test_what_a_board_said_before_it_was_unplugged_is_heard_by_a_reader_that_was_held_up(
    board: KegboardPty, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert board.path
    with BoardPort(board.path, Stop()) as port:
        next_of(port, HelloMessage)
        board.say(encode(PINT) * 100)
        real, reads = os.read, []

        def read_and_unplug(fd: int, size: int) -> bytes:
            data = real(fd, size)
            if threading.current_thread() is threading.main_thread():
                reads.append(data)
                board.unplug()
                assert len(reads) < 100, "it reads on and on where nothing comes any more"
            return data

        monkeypatch.setattr(os, "read", read_and_unplug)
        assert port.read(1.0) == [PINT] * 100
        with pytest.raises(BoardError, match="the board was unplugged"):
            port.read(1.0)


def test_a_stop_ends_a_wait_at_once(board: KegboardPty) -> None:
    assert board.path
    stop = Stop()
    with BoardPort(board.path, stop) as port:
        threading.Timer(0.2, stop.set).start()
        while port.read(None):
            pass
        assert stop.is_set()
        assert port.read(None) == []


def test_a_stop_that_was_set_before_anybody_waited_is_heard() -> None:
    stop = Stop()
    stop.set()
    assert os.eventfd_read(stop.fileno()) == 1
