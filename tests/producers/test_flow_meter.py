"""Flow meters on lines that are pipes: what is counted is in the spool; a line that fails is told and tried again."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kegnet_client.core.errors import LineError
from kegnet_client.core.records import Pour, parse
from kegnet_client.host.clock import Clock
from kegnet_client.producers import flow_meter
from kegnet_client.producers.base import ProducerThread
from kegnet_client.producers.flow_meter import FlowMeter, FlowMeters
from kegnet_client.producers.flow_meter_section import FlowMeterSettings
from kegnet_client.producers.gpio_line import Bias, Line
from kegnet_client.producers.pour_journal import PourJournal

from ..support.waits import wait_until
from .pipe_line import PipeLine
from .stand_ins import Start

IDLE_MS = 200


class Bar:
    """A bar with as many taps as are asked for; ``lines`` are what their meters hang on, by pin."""

    def __init__(self, spool: Path, start: Start) -> None:
        self.spool = spool
        self.lines: dict[int, PipeLine] = {}
        self.trouble: dict[int, str] = {}
        self.told = 0
        self.meters: FlowMeters
        self.thread: ProducerThread
        self._start = start
        self._opened = threading.Condition()

    def open(self, *pins: int) -> None:
        clock = Clock()
        meters = []
        for pin in pins:
            settings = FlowMeterSettings(f"GPIO{pin}", pin, None, Bias.UP, IDLE_MS, 54, 2000)
            journal = PourJournal(self.spool, "flow-meter", f"tap{pin}", pin, settings.rules, clock)
            journal.start()
            meters.append(FlowMeter(f"tap{pin}", settings, journal, self._open_line, clock))
        self.meters = FlowMeters(meters, self._tell, clock)
        self.thread = self._start(self.meters)
        wait_until(lambda: self.told, "nothing was told")

    def close(self) -> None:
        self.thread.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def pours(self) -> list[tuple[int, int]]:
        """The pin and the pulses of each record, by time."""
        pours = [parse(path.name, path.read_bytes()) for path in self.spool.glob("*.pour")]
        found = sorted((pour for pour in pours if isinstance(pour, Pour)), key=lambda pour: pour.started_ms)
        return [(pour.pin, pour.pulses) for pour in found]

    def problem(self) -> str:
        return self.meters.problem or ""

    def _tell(self) -> None:
        self.told += 1

    def _open_line(self, settings: FlowMeterSettings) -> Line:
        if settings.pin in self.trouble:
            raise LineError(self.trouble[settings.pin])
        self.lines[settings.pin] = PipeLine()
        return self.lines[settings.pin]


@pytest.fixture
def bar(tmp_path: Path, start: Start) -> Bar:
    spool = tmp_path / "spool"
    spool.mkdir()
    return Bar(spool, start)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at its lines often."""
    monkeypatch.setattr(flow_meter, "LOOK_S", 0.05)


def test_a_pour_is_recorded_to_the_pulse_and_the_millisecond(bar: Bar) -> None:
    bar.open(3)
    before_ms = Clock().wall_ms()
    bar.lines[3].turn(271, 270)
    after_ms = Clock().wall_ms()
    wait_until(bar.pours, "no record")

    (path,) = bar.spool.glob("*.pour")
    pour = parse(path.name, path.read_bytes())
    assert isinstance(pour, Pour)
    assert (pour.pin, pour.pulses) == (3, 271)
    assert abs(pour.elapsed_ms - 1000) <= 1
    # To a few milliseconds: the clocks of the wall and of the boot are read one after the other, and drift.
    assert before_ms - 10 <= pour.started_ms + pour.elapsed_ms <= after_ms + 10


def test_two_meters_count_for_themselves(bar: Bar) -> None:
    bar.open(0, 3)
    bar.lines[0].turn(100, 700)
    bar.lines[3].turn(200, 60)
    wait_until(lambda: len(bar.pours()) == 2, "no two records")

    assert sorted(bar.pours()) == [(0, 100), (3, 200)]


def test_pulses_that_did_not_fit_into_the_buffer_are_counted(bar: Bar) -> None:
    bar.open(3)
    time.sleep(0.3)  # in which they come
    bar.lines[3].turn(200, 1000, lost=range(100))
    wait_until(bar.pours, "no record")

    assert bar.pours() == [(3, 200)]


def test_what_was_counted_is_recorded_at_the_end(bar: Bar) -> None:
    bar.open(3)
    bar.lines[3].turn(100, 700)
    bar.close()

    assert bar.pours() == [(3, 100)]
    assert [path.name for path in bar.spool.iterdir() if path.name.startswith(".")] == []
    assert not bar.lines[3].is_open


def test_drips_are_shown_and_recorded_at_the_end(bar: Bar) -> None:
    bar.open(3)
    bar.lines[3].turn(5, 10)
    wait_until(lambda: bar.meters.status()["meters"]["tap3"]["drips"] == 5, "no drips")  # type: ignore[index]  # JSON, typed as object
    assert bar.pours() == []
    bar.close()

    assert bar.pours() == [(3, 5)]


@pytest.mark.case(94)
def test_a_meter_that_chatters_is_one_line_and_no_pour_and_the_others_go_on(
    bar: Bar, lines: Callable[[], list[str]]
) -> None:
    bar.open(0, 3)
    for _ in range(3):
        bar.lines[0].turn(900, 10_000)
        wait_until(lambda: "faster than 2000 a second" in bar.problem(), "no problem is told")
    bar.lines[3].turn(100, 700)
    wait_until(bar.pours, "the other one does not go on")
    bar.close()

    assert bar.pours() == [(3, 100)]
    assert len([line for line in lines() if line.startswith("flow meter tap0: pulses come faster")]) == 1


@pytest.mark.case(95)
@pytest.mark.usefixtures("soon")
def test_a_line_that_cannot_be_had_is_one_line_and_tried_again_and_the_others_go_on(
    bar: Bar, lines: Callable[[], list[str]]
) -> None:
    bar.trouble[0] = "line 17 of /dev/gpiochip0 is in use by 'fan'"
    bar.open(0, 3)
    bar.lines[3].turn(100, 700)
    wait_until(bar.pours, "the other one does not go on")
    assert bar.problem() == f"flow meter tap0: {bar.trouble[0]}"
    told = [line for line in lines() if "tap0" in line]
    assert told == [f"flow meter tap0 counts nothing, the others go on: {bar.trouble.pop(0)}"]
    wait_until(lambda: 0 in bar.lines, "it is not tried again")
    bar.lines[0].turn(60, 700)
    wait_until(lambda: len(bar.pours()) == 2, "it does not count")

    assert [line for line in lines() if "flow meter tap0" in line] == ["flow meter tap0 counts again"]
    assert bar.problem() == ""


@pytest.mark.case(96)
@pytest.mark.usefixtures("soon")
def test_a_chip_that_vanishes_in_a_pour_costs_no_pulse_and_is_waited_for(bar: Bar) -> None:
    bar.open(3)
    bar.lines[3].turn(60, 700)
    wait_until(lambda: bar.meters.status()["meters"]["tap3"]["pours_now"], "it does not pour")  # type: ignore[index]  # as above
    first = bar.lines.pop(3)
    bar.trouble[3] = "/dev/gpiochip0 is not there"
    first.is_there = False
    wait_until(lambda: "is not there" in bar.problem(), "no problem is told")
    wait_until(bar.pours, "the pour has no end")
    del bar.trouble[3]
    wait_until(lambda: 3 in bar.lines, "it is not waited for")
    bar.lines[3].turn(70, 700)
    wait_until(lambda: len(bar.pours()) == 2, "it does not count")

    assert bar.pours() == [(3, 60), (3, 70)]
    assert not first.is_open


def test_nobody_pours_and_it_sleeps(bar: Bar) -> None:
    bar.open(0, 3)
    (task,) = [
        Path(f"/proc/self/task/{thread.native_id}/status") for thread in threading.enumerate() if thread is bar.thread
    ]

    def switches() -> int:
        return int(task.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    wait_until(lambda: _is_still(switches), "it does not come to rest")
    before = switches()
    time.sleep(1.0)  # nothing is to happen in it
    assert switches() == before


def _is_still(switches: Callable[[], int]) -> bool:
    before = switches()
    time.sleep(0.1)
    return switches() == before
