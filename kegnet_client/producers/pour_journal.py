"""What a meter counts, from the pulse to the record in the spool, so that neither a kill nor a power cut loses it.

While something flows, ``.PRODUCER.NAME.partial`` in the spool's directory (a name that the uploader never takes) is
written once a second (`partial_file`); what is below the minimum yet, once a minute. A thread of its own does that,
so that a card that stalls holds up no counting. Nothing is written while nothing flows.

What ended becomes records in rounds, each with an id of its own, and no pulse is in two places that count:

1. each record is written whole under a hidden name, ``.PRODUCER.NAME.ROUND-NUMBER.tmp``;
2. the partial is written without their pulses and with the round's id, or removed if it holds nothing else;
3. each hidden file is renamed into its place.

A start renames the hidden files of the round that the partial names, or all where there is no partial, and removes
others, whose pulses the partial still has, or their file that waits for the clock.

After a boot the wall clock may be that of the last shutdown. Until it is synchronised (ten minutes at most) what ended
stands as ``.PRODUCER.NAME.ROUND-NUMBER.partial``, by the clock that runs since the boot. When it can be dated, the
record takes that file's place first, and that very file is renamed then.

How a producer uses it, per meter::

    journal = PourJournal(spool, "kegboard", "bar-0", pin, rules, clock)   # also takes up what was left behind
    counter = TotalCounter(meter, journal.total)
    journal.keep(meter, done, counter.last)                                # after each call that gave ``done``
    journal.close(meter.close(), counter.last)

and once for all of them, at its start, ``take_up_others(spool, "kegboard", names, clock)``.
"""

import contextlib
import logging
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kegnet_client import RELEASED_MS
from kegnet_client.core.errors import RecordError, SpoolError
from kegnet_client.core.flow import Flow, FlowRules, Meter, PourDates, recover
from kegnet_client.core.records import LAST_MS, MAX_ELAPSED_MS, POUR_SUFFIX, Pour, format_record, parse
from kegnet_client.host.atomic_file import open_directory, owner_in, prepare_file
from kegnet_client.host.boot import read_boot_id
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.host.regular_file import read_regular
from kegnet_client.producers.left_behind import find_ours
from kegnet_client.producers.partial_file import (
    SLOT_BYTES,
    Kept,
    NotOursError,
    PartialFile,
    format_slot,
    parse_slots,
    write_hidden,
)
from kegnet_client.spool.directory import RECORD_MODE, explain, new_name, printable

POUR_INTERVAL_S = 1.0
DRIPS_INTERVAL_S = 60.0
RETRY_S = 5.0
CLOCK_PATIENCE_S = 600.0
"""So long after a boot a clock is waited for that the kernel vouches for."""
CLOCK_LOOK_S = 10.0
CLOSE_S = 5.0
"""How long a producer's end waits for a disk that hangs."""

_NUMBERED = r"\.(?P<round>[0-9a-f]{8})-[0-9]+"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A flow that is over, by the clock of the boot ``boot``. ``offset_ms`` is as in `Kept`."""

    pin: int
    boot: str
    offset_ms: int | None
    flow: Flow


@dataclass(slots=True)
class _Round:
    """What is on its way to the disk. Each step may be tried again until it is done."""

    kept: Kept
    files: list[tuple[str, bytes, str, _Ended | None]] = field(default_factory=list)
    """The hidden name, the content, the name to come, and for one that waits for the clock what it is."""
    is_written: bool = False
    is_kept: bool = False


class PourJournal:
    """The journal of the one meter ``name`` of ``producer``, in the directory ``spool``.

    What was left behind is taken up at once, and becomes records as the rest does. `keep` and `close` are for one
    thread. Raises `SpoolError` when the spool cannot be read or another process is at work on this meter.
    """

    def __init__(self, spool: Path, producer: str, name: str, pin: int, rules: FlowRules, clock: Clock) -> None:
        self.total: int | None = None
        """What the board had told by the end of the producer before."""
        self.told_ms: int | None = None
        """When that was; `BEFORE_BOOT_MS` if it was before this machine's start, None if nobody knows."""
        self._spool = spool
        self._name = name
        self._prefix = f".{producer}.{name}"
        self._pin = pin
        self._minimum = rules.minimum
        self._clock = clock
        self._boot = read_boot_id()
        self._dates = PourDates()
        self._unwritable = Condition(log)
        self._barred = Condition(log)
        self._changed = threading.Condition()
        self._ended: list[_Ended] = []
        self._state: tuple[Flow | None, Flow | None, int | None] = (None, None, None)
        self._unsaved_s: float | None = None
        self._retry_at_s = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None
        # Of the thread that writes alone:
        self._file: PartialFile | None = None
        self._round: _Round | None = None
        self._waiting: list[tuple[str, _Ended]] = []
        self._look_at_s = 0.0
        try:
            self._directory_fd = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._take_up()
            except BaseException:
                self._leave()  # whoever asks for it tries again, at each total of a board
                raise
        except OSError as error:
            raise SpoolError(f"{spool}: {explain(error)}") from error

    @property
    def problem(self) -> str | None:
        """Why nothing can be written, if so; it is kept in memory meanwhile."""
        return self._unwritable.text or self._barred.text

    def start(self) -> None:
        """Write in a thread of its own from now on."""
        self._thread = threading.Thread(target=self._run, name=f"journal-{self._name}", daemon=True)
        self._thread.start()

    def keep(self, meter: Meter, done: Iterable[Flow], total: int | None = None) -> None:
        """Have ``done`` made records, and what ``meter`` holds kept, with the ``total`` that a board told."""
        self._put(done, (meter.pour, meter.drips, total))

    def close(self, done: Iterable[Flow] = (), total: int | None = None) -> None:
        """Keep the last; when this returns, it is on the disk, if that can be."""
        self._put(done, (None, None, total))
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is None:
            self.write()
        else:
            self._thread.join(CLOSE_S)
            if self._thread.is_alive():
                return
        self._leave()

    def write(self) -> None:
        """Bring to the disk what there is. For one thread; that of `start`, if that was called."""
        try:
            self._write_round()
            self._date_waiting()
        except OSError as error:
            self._retry_at_s = self._clock.monotonic_s() + RETRY_S
            problem = f"{self._spool}: {explain(error)}"
            self._unwritable.begin(problem, f"what {self._name} counts is in memory alone for now: {problem}")
        else:
            self._unwritable.end(f"what {self._name} counts can be written again; nothing is lost")

    def _leave(self) -> None:
        if self._file is not None:
            self._file.close()
        os.close(self._directory_fd)

    def _put(self, done: Iterable[Flow], state: tuple[Flow | None, Flow | None, int | None]) -> None:
        ended = [_Ended(self._pin, self._boot, self._offset_ms(), flow) for flow in done]
        with self._changed:
            before_s = self._due_s()
            self._ended += ended
            if state != self._state and self._unsaved_s is None:
                self._unsaved_s = self._clock.monotonic_s()
            if state[2] != self._state[2]:
                self.told_ms = round(self._clock.monotonic_s() * 1000)
            self._state = state
            if self._due_s() < before_s:
                self._changed.notify()

    def _due_s(self) -> float:
        """When there is something to write."""
        times = [float("inf")]
        if self._ended or self._round is not None:
            times.append(0.0)
        if self._unsaved_s is not None:
            pour = self._state[0]
            flows = pour is not None and pour.pulses >= self._minimum
            times.append(self._unsaved_s + (POUR_INTERVAL_S if flows else DRIPS_INTERVAL_S))
        if self._waiting:
            times.append(self._look_at_s)
        return max(min(times), self._retry_at_s)

    def _run(self) -> None:
        closing = False
        while not closing:
            with self._changed:
                while not self._closing and (wait_s := self._due_s() - self._clock.monotonic_s()) > 0:
                    self._changed.wait(min(wait_s, threading.TIMEOUT_MAX))
                closing = self._closing
            try:
                self.write()
            except Exception:  # the thread's outermost frame: counting goes on, and so does this at the next change
                log.exception("a fault in kegnet-client itself, please report it; counting goes on")
                self._retry_at_s = self._clock.monotonic_s() + RETRY_S

    def _write_round(self) -> None:
        """Carry out the round that was begun, and then one with all that is new."""
        if self._round is not None:
            self._carry_out(self._round)
        if (begun := self._begin_round()) is not None:
            self._carry_out(begun)

    def _begin_round(self) -> _Round | None:
        with self._changed:
            if not self._ended and self._unsaved_s is None:
                return None
        self._follow_directory()
        with self._changed:
            ended, self._ended = self._ended, []
            pour, drips, total, told_ms = *self._state, self.told_ms
            self._unsaved_s = None
        round_id = secrets.token_hex(4)
        begun = _Round(Kept(self._pin, self._boot, self._offset_ms(), pour, drips, total, round_id, told_ms))
        for number, one in enumerate(ended):
            hidden = f"{self._prefix}.{round_id}-{number}"
            record = self._date(one)
            if record is not None:
                begun.files.append((f"{hidden}.tmp", format_record(record), new_name(record), None))
            else:
                kept = Kept(one.pin, one.boot, one.offset_ms, one.flow, None, None, "")
                begun.files.append((f"{hidden}.tmp", format_slot(1, kept), f"{hidden}.partial", one))
        return begun

    def _follow_directory(self) -> None:
        """Go on in the directory that stands at the path now, unless something of ours stands in the one before."""
        if self._file is not None or self._waiting:
            return
        fd = os.open(self._spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.dup2(fd, self._directory_fd, inheritable=False)
        os.close(fd)

    def _carry_out(self, begun: _Round) -> None:
        self._round = begun
        fd = self._directory_fd
        if not begun.is_written:
            for hidden, data, _, _ in begun.files:
                write_hidden(fd, hidden, data)
            os.fsync(fd)
            begun.is_written = True
        if not begun.is_kept:
            self._write_partial(begun.kept)
            begun.is_kept = True
        if begun.files:
            self._place(begun.files)
        self._round = None

    def _place(self, files: list[tuple[str, bytes, str, _Ended | None]]) -> None:
        fd = self._directory_fd
        while files:
            hidden, _, name, waits = files[0]
            os.rename(hidden, name, src_dir_fd=fd, dst_dir_fd=fd)
            del files[0]
            if waits is not None:
                self._waiting.append((name, waits))
        os.fsync(fd)

    def _write_partial(self, kept: Kept) -> None:
        if kept.pour is None and kept.drips is None and kept.total is None:
            if self._file is not None:
                self._file.remove()
                self._file = None
                os.fsync(self._directory_fd)
        else:
            try:
                self._file = self._file or PartialFile.make(self._directory_fd, f"{self._prefix}.partial")
            except NotOursError as error:  # a neighbour may forge one, and must not stop the counting
                self._barred.begin(str(error), f"what {self._name} counts is kept nowhere before a pour ends: {error}")
                return
            self._barred.end()
            self._file.write(kept)

    def _date_waiting(self) -> None:
        """Make records of what waited for the clock, if that is right now."""
        fd = self._directory_fd
        while self._waiting:
            name, one = self._waiting[0]
            record = self._date(one)
            if record is None:
                self._look_at_s = self._clock.monotonic_s() + CLOCK_LOOK_S
                return
            # Under no name that can be foreseen, where somebody else's file could stand.
            temp = prepare_file(fd, format_record(record), RECORD_MODE, owner_in(fd))
            os.rename(temp, name, src_dir_fd=fd, dst_dir_fd=fd)
            os.fsync(fd)
            os.rename(name, new_name(record), src_dir_fd=fd, dst_dir_fd=fd)
            os.fsync(fd)
            del self._waiting[0]

    def _date(self, one: _Ended) -> Pour | None:
        """The record of ``one``; None while the clock is not right."""
        if one.boot != self._boot and one.offset_ms is not None:
            return self._dates.pour(one.pin, one.flow, 0, one.offset_ms)
        offset_ms = self._offset_ms()
        if offset_ms is None:
            return None
        if one.boot == self._boot:
            return self._dates.pour(one.pin, one.flow, 0, offset_ms)
        # Nobody knows when the boot before was: not after this one began.
        return self._dates.pour(one.pin, one.flow, one.flow.last_ms, offset_ms)

    def _offset_ms(self) -> int | None:
        """What the wall clock is ahead of the one that runs since the boot; None while it is not to be trusted."""
        now_ms, wall_ms = round(self._clock.monotonic_s() * 1000), self._clock.wall_ms()
        settled = now_ms >= CLOCK_PATIENCE_S * 1000 or self._clock.synchronised()
        return wall_ms - now_ms if settled and RELEASED_MS < wall_ms < LAST_MS - MAX_ELAPSED_MS else None

    def _take_up(self) -> None:
        """Take up what the producer before left behind."""
        fd = self._directory_fd
        with contextlib.suppress(NotOursError):  # which is told once something is to be written
            self._file = PartialFile.find(fd, f"{self._prefix}.partial")
        kept = self._file.kept if self._file is not None else None
        pattern = re.compile(re.escape(self._prefix) + _NUMBERED + r"\.(?P<kind>tmp|partial)")
        found = find_ours(fd, pattern)
        names = {match.string for match in found}
        for match in found:
            is_of_round = kept is None or match["round"] == kept.round
            is_dated = match.string.removesuffix(".tmp") + ".partial" in names
            try:
                if match["kind"] == "tmp" and (is_dated or not is_of_round):
                    os.unlink(match.string, dir_fd=fd)
                else:
                    self._take_up_ended(match.string)
            except (OSError, RecordError) as error:
                why = explain(error) if isinstance(error, OSError) else error
                log.warning("%s is left as it is: %s", self._spool / printable(match.string), why)
        os.fsync(fd)
        if self._file is not None:
            self._unsaved_s = self._clock.monotonic_s()
        if kept is not None:
            self.total = kept.total
            self.told_ms = kept.told_in(self._boot)
            self._state = (None, None, kept.total)
            flows = recover(kept.pour, kept.drips)
            self._ended = [_Ended(kept.pin, kept.boot, kept.offset_ms, flow) for flow in flows]

    def _take_up_ended(self, hidden: str) -> None:
        """Take up what had ended and waited for the clock, or for its place in the spool."""
        fd = self._directory_fd
        data = read_regular(hidden, SLOT_BYTES, dir_fd=fd, follow_link=False)
        found = parse_slots(data)
        if found is None or (flow := found[1].pour) is None:
            if hidden.endswith(".tmp") and not data.endswith(b"\n"):
                os.unlink(hidden, dir_fd=fd)  # the power went while it was written
                return
            os.rename(hidden, new_name(parse(POUR_SUFFIX, data)), src_dir_fd=fd, dst_dir_fd=fd)
            return
        kept = found[1]
        name = hidden.removesuffix(".tmp").removesuffix(".partial") + ".partial"
        os.rename(hidden, name, src_dir_fd=fd, dst_dir_fd=fd)
        self._waiting.append((name, _Ended(kept.pin, kept.boot, kept.offset_ms, flow)))


def take_up_others(spool: Path, producer: str, names: Collection[str], clock: Clock) -> list[PourJournal]:
    """Take up what meters left behind that have no section any more: all but ``names``. To be closed at the end."""
    pattern = re.compile(rf"\.{re.escape(producer)}\.(?P<name>[^.]+)({_NUMBERED})?\.(tmp|partial)")
    try:
        with open_directory(spool) as fd:
            found = {match["name"] for match in find_ours(fd, pattern)}
    except OSError as error:
        raise SpoolError(f"{spool}: {explain(error)}") from error
    journals = []
    for name in sorted(found.difference(names)):
        try:
            journal = PourJournal(spool, producer, name, 0, FlowRules(), clock)
        except SpoolError as error:
            log.warning("what %s left behind stays in the spool: %s", printable(name), error)
            continue
        journal.start()
        journals.append(journal)
    return journals
