"""Rounds follow one another, and end when they are told to, whatever hangs: a FIFO stands for a bus that does."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kegnet_client.core.records import Reading
from kegnet_client.producers.base import Stop
from kegnet_client.producers.one_wire import BusReader, BusReading, read_bus
from kegnet_client.producers.thermometer import Thermometer

from ..support.clock import NOW_MS, FakeClock
from ..support.threads import threads_named
from .stand_ins import KEG, NEVER, TAP, Make, Outbox, Plug, Start

# --- a bus that hangs ------------------------------------------------------------------------------------------


def test_a_read_that_hangs_is_told_once_and_costs_one_thread(
    make: Make,
    plug: Plug,
    hang: Callable[[str], Callable[[], None]],
    outbox: Outbox,
    lines: Callable[[], list[str]],
    bus: Path,
) -> None:
    plug(KEG, 3875)
    thermometer = make(timeout_s=2.0)
    thermometer.one_round(NEVER)
    lines()
    outbox.all()

    release = hang(TAP)
    for _ in range(20):
        thermometer.one_round(NEVER)

    assert len(threads_named("thermometer-read")) == 1
    assert outbox.all() == []
    [line] = lines()
    assert line.startswith(f"no temperatures, pours go on: the 1-Wire bus at {bus} does not answer: ")
    assert thermometer.latest() == {KEG: Reading(KEG, 3875, NOW_MS)}

    release()
    shutil.rmtree(bus / TAP)
    thermometer.one_round(NEVER)
    assert lines() == ["the 1-Wire bus answers again"]
    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]
    assert threads_named("thermometer-read") == []


def test_a_late_answer_is_not_taken_for_the_next_round_s(make: Make, outbox: Outbox) -> None:
    go_on = threading.Event()
    answers = iter([BusReading({KEG: 1000}), BusReading({KEG: 2000})])

    def read(_: Path) -> BusReading:
        answer = next(answers)
        go_on.wait(10)
        return answer

    thermometer = make(read=read, timeout_s=0.5)
    thermometer.one_round(NEVER)
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "thermometer-read":
            thread.join(10)
    thermometer.one_round(NEVER)

    assert outbox.all() == [Reading(KEG, 2000, NOW_MS)]


def test_whatever_the_library_raises_the_rounds_go_on(
    make: Make, outbox: Outbox, lines: Callable[[], list[str]]
) -> None:
    def read(_: Path) -> BusReading:
        raise ZeroDivisionError("who would have thought")

    thermometer = make(read=read)
    thermometer.one_round(NEVER)
    thermometer.one_round(NEVER)

    assert outbox.all() == []
    assert lines() == [
        "no temperatures, pours go on: reading the 1-Wire bus failed: ZeroDivisionError('who would have thought')"
    ]


# --- the thread ------------------------------------------------------------------------------------------------


def test_the_first_round_is_at_once_and_the_others_follow_the_timer(
    make: Make, start: Start, plug: Plug, outbox: Outbox
) -> None:
    plug(KEG, 3875)
    start(make(interval_s=0.01))

    assert [outbox.next() for _ in range(3)] == [Reading(KEG, 3875, NOW_MS)] * 3


def test_the_timer_runs_on_while_the_wall_clock_jumps_by_a_year_either_way(
    make: Make, start: Start, plug: Plug, outbox: Outbox, clock: FakeClock
) -> None:
    plug(KEG, 3875)
    year_ms = 365 * 86_400_000
    clock.now_ms += year_ms
    start(make(interval_s=0.01))
    outbox.next()
    clock.now_ms += year_ms
    while outbox.next() != Reading(KEG, 3875, NOW_MS + 2 * year_ms):
        pass
    clock.now_ms -= year_ms
    while outbox.next() != Reading(KEG, 3875, NOW_MS + year_ms):
        pass


def test_stop_ends_the_thread_between_two_rounds(make: Make, start: Start, plug: Plug, outbox: Outbox) -> None:
    plug(KEG, 3875)
    thread = start(make(interval_s=3600.0))
    outbox.next()
    thread.stop()
    thread.join(2)

    assert not thread.is_alive()


def test_stop_does_not_wait_for_a_read_that_hangs(
    make: Make, start: Start, hang: Callable[[str], Callable[[], None]], outbox: Outbox
) -> None:
    hang(KEG)
    reading = threading.Event()

    def read(directory: Path) -> BusReading:
        reading.set()
        return read_bus(directory)

    thread = start(make(read=read))
    assert reading.wait(10)
    thread.stop()
    thread.join(2)

    assert not thread.is_alive()
    assert outbox.all() == []


def test_a_thermometer_that_was_stopped_before_its_start_reads_nothing(make: Make, outbox: Outbox) -> None:
    def read(_: Path) -> BusReading:
        pytest.fail("it read")

    thermometer = make(read=read)
    stop = Stop()
    stop.set()
    assert thermometer.one_round(stop) == 0.0
    thermometer.run(stop)
    assert outbox.all() == []


def test_a_program_with_a_read_that_hangs_can_end(bus: Path, hang: Callable[[str], Callable[[], None]]) -> None:
    hang(KEG)
    program = (
        "import pathlib, threading\n"
        "from kegnet_client.host.clock import Clock\n"
        "from kegnet_client.producers.one_wire import BusReader\n"
        "from kegnet_client.producers.thermometer import Thermometer\n"
        f"bus = BusReader(pathlib.Path({str(bus)!r}), timeout_s=0.2)\n"
        "Thermometer(bus=bus, interval_s=60, sensor=None, all_sensors=False,\n"
        "    enqueue=print, changed=int, clock=Clock()).one_round(threading.Event())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert done.stderr.startswith("no temperatures, pours go on: ")


def test_whoever_shows_the_problem_hears_of_each_change_and_of_nothing_else(make: Make, plug: Plug) -> None:
    seen: list[str | None] = []
    thermometer: Thermometer = make(changed=lambda: seen.append(thermometer.problem))
    thermometer.one_round(NEVER)
    thermometer.one_round(NEVER)
    plug(KEG, 3875)
    thermometer.one_round(NEVER)
    thermometer.one_round(NEVER)

    assert len(seen) == 2
    assert seen[0] is not None
    assert seen[1] is None


def test_a_reload_while_the_bus_hangs_starts_no_second_read(
    make: Make, plug: Plug, hang: Callable[[str], Callable[[], None]], bus: Path
) -> None:
    release = hang(KEG)
    reader = BusReader(bus, timeout_s=0.2)
    make(bus=reader).one_round(NEVER)
    make(bus=reader).one_round(NEVER)
    assert len(threads_named("thermometer-read")) == 1
    release()


def test_a_reload_in_the_middle_of_a_read_waits_for_it_and_reads_again(
    make: Make, start: Start, outbox: Outbox
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    answers = iter([BusReading({KEG: 1000}), BusReading({KEG: 2000})])

    def read(_: Path) -> BusReading:
        answer = next(answers)
        begun.set()
        go_on.wait(10)
        return answer

    reader = BusReader(Path(), read)
    old = start(make(bus=reader))
    begun.wait(10)
    old.stop()
    old.join(10)
    start(make(bus=reader))
    go_on.set()
    assert outbox.queue.get(timeout=10) == Reading(KEG, 2000, NOW_MS)


def test_a_fault_of_our_own_costs_one_round(
    make: Make, start: Start, plug: Plug, outbox: Outbox, lines: Callable[[], list[str]]
) -> None:
    plug(KEG, 3875)
    faults = iter([RuntimeError("can't start new thread")])

    def enqueue(reading: Reading) -> None:
        for fault in faults:
            raise fault
        outbox.enqueue(reading)

    start(make(interval_s=0.01, enqueue=enqueue))
    assert outbox.queue.get(timeout=10) == Reading(KEG, 3875, NOW_MS)
    assert any("please report it" in line for line in lines())
