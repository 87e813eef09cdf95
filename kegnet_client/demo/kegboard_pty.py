"""A simulated Kegboard at the end of a line: a pseudo terminal, which a program opens as it would a serial port."""

import contextlib
import os
import pty
import select
import threading
import time
import tty
from pathlib import Path

from kegnet_client.demo.simulated_kegboard import TICK_S, SimulatedBoard

_MAX_READ_BYTES = 4096


class KegboardPty:
    """``board`` on a pseudo terminal, with a thread that lets its time pass; plugged in from the start.

    ``link`` is where its device is to be found, however often it is plugged in; `path` is the device itself. All
    methods may be called from any thread.
    """

    def __init__(self, board: SimulatedBoard, link: Path | None = None) -> None:
        self._board = board
        self._link = link
        self._lock = threading.Lock()
        self._ours = self._theirs = -1
        self._path: Path | None = None
        self._stopping = threading.Event()
        self.plug()
        self._thread = threading.Thread(target=self._run, name="simulated Kegboard", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path | None:
        """Its device; None while it is unplugged."""
        return self._path

    @property
    def totals(self) -> list[int]:
        """How many pulses each meter has given since the board's start."""
        with self._lock:
            return list(self._board.totals)

    @property
    def outputs(self) -> set[int]:
        """The relays that are on."""
        with self._lock:
            return set(self._board.outputs)

    def plug(self) -> None:
        """Plug it in, which starts it."""
        with self._lock:
            if self._path is not None:
                return
            self._ours, self._theirs = pty.openpty()
            # Bytes as they are, also before anybody has opened it; it stays open, since a serial port is there, too,
            # when nobody listens.
            tty.setraw(self._theirs)
            os.set_blocking(self._ours, False)
            self._board.reset(time.monotonic())
            self._path = Path(os.ttyname(self._theirs))
            if self._link is not None:
                new = self._link.with_name(f".{self._link.name}.new")
                new.unlink(missing_ok=True)
                new.symlink_to(self._path)
                new.replace(self._link)

    def unplug(self) -> None:
        """Pull its cable out, which takes its power."""
        with self._lock:
            if self._path is None:
                return
            if self._link is not None:
                self._link.unlink(missing_ok=True)
            self._path = None
            os.close(self._theirs)
            os.close(self._ours)
            self._ours = self._theirs = -1

    def reset(self) -> None:
        """Have it begin anew while it is plugged in."""
        with self._lock:
            self._board.reset(time.monotonic())

    def pour(self, meter: int, pulses: int, hz: float) -> None:
        """Let something flow."""
        with self._lock:
            self._board.pour(time.monotonic(), meter, pulses, hz)

    def set_temperature(self, sensor: str, millidegrees: int) -> None:
        """Have a thermometer, which is there from now on, read this."""
        with self._lock:
            self._board.sensors[sensor] = millidegrees

    def show_token(self, device: str, token: bytes, *, is_there: bool) -> None:
        """An iButton or card comes or goes."""
        with self._lock:
            self._board.show_token(device, token, is_there=is_there)

    def noise(self, count: int) -> None:
        """Say what no board says."""
        with self._lock:
            self._say(self._board.noise(count))

    def say(self, data: bytes) -> None:
        """Say these very bytes."""
        with self._lock:
            self._say(data)

    def close(self) -> None:
        """Unplug it for good."""
        self._stopping.set()
        self._thread.join()
        self.unplug()

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            with self._lock:
                if self._path is None:
                    continue
                now_s = time.monotonic()
                if select.select([self._ours], [], [], 0)[0]:
                    with contextlib.suppress(OSError):
                        self._board.hear(os.read(self._ours, _MAX_READ_BYTES), now_s)
                self._say(self._board.tick(now_s))

    def _say(self, data: bytes) -> None:
        # What nobody reads is lost, as it is on a serial line.
        with contextlib.suppress(OSError):
            os.write(self._ours, data)
