"""What a meter counts reaches the spool once, whatever happens to its producer, the disk and the clock."""

import contextlib
import errno
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kegnet_client.core.errors import SpoolError
from kegnet_client.core.flow import Flow, FlowRules, Meter
from kegnet_client.core.records import Pour, format_record, parse
from kegnet_client.host.clock import Clock
from kegnet_client.producers import pour_journal
from kegnet_client.producers.partial_file import BEFORE_BOOT_MS, SLOT_BYTES, Kept, format_slot, parse_slots
from kegnet_client.producers.pour_journal import PourJournal, take_up_others

from ..support.clock import NOW_MS, FakeClock
from ..support.descriptors import open_descriptors
from ..support.waits import WAIT_S, wait_until

RULES = FlowRules()
KEPT = Kept(3, "boot", None, Flow(270, 1000, 2000), Flow(2, 0, 10), None, "0123abcd")
SYNCHRONISED = (0, 0)


def journal_of(spool: Path, clock: Clock, name: str = "tap1") -> PourJournal:
    return PourJournal(spool, "flow-meter", name, 3, RULES, clock)


def pours(spool: Path) -> list[Pour]:
    found = [parse(path.name, path.read_bytes()) for path in spool.glob("*.pour")]
    return sorted((pour for pour in found if isinstance(pour, Pour)), key=lambda pour: pour.started_ms)


def hidden(spool: Path) -> list[str]:
    return sorted(path.name for path in spool.iterdir() if path.name.startswith("."))


def pouring(pulses: int = 270, first_ms: int = 1_000_000_000) -> Meter:
    meter = Meter(RULES)
    meter.add(pulses, first_ms, first_ms + 1000)
    return meter


def cut_off() -> None:
    """The producers of this test are killed: the kernel gives up their locks."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if link.readlink().name.endswith(".partial"):
                os.close(int(link.name))


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    return directory


@pytest.mark.case(85)
@pytest.mark.process
@pytest.mark.parametrize("how", ["kills", "cuts"])
def test_whenever_its_producer_or_the_power_ends_nothing_that_was_written_is_lost_or_doubled(
    tmp_path: Path, how: str
) -> None:
    rig = Path(__file__).with_name("journal_rig.py")
    done = subprocess.run([sys.executable, rig, how, tmp_path], capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["faults"] == []
    assert outcome["moments"] > 50


def test_a_pour_leaves_a_record_and_nothing_else(spool: Path, clock: FakeClock) -> None:
    journal = journal_of(spool, clock)
    meter = pouring(first_ms=round(clock.now_s * 1000) - 1000)
    journal.keep(meter, [])
    journal.write()
    assert hidden(spool) == [".flow-meter.tap1.partial"]
    journal.close(meter.close())

    assert pours(spool) == [Pour(3, 270, 1000, NOW_MS - 1000)]
    assert hidden(spool) == []


def test_a_pour_under_way_is_on_the_disk_within_a_second_and_drips_wait_for_their_minute(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pour_journal, "POUR_INTERVAL_S", 0.05)
    journal = journal_of(spool, Clock())
    journal.start()
    journal.keep(pouring(3), [])
    journal.keep(pouring(270), [])
    partial = spool / ".flow-meter.tap1.partial"
    wait_until(lambda: partial.exists() and parse_slots(partial.read_bytes()), "it is not written")
    found = parse_slots(partial.read_bytes())
    assert found is not None
    assert found[1].pour == Flow(270, 1_000_000_000, 1_000_001_000)
    written = partial.stat().st_mtime_ns
    journal.keep(pouring(5), [])
    with pytest.raises(AssertionError):
        wait_until(lambda: partial.stat().st_mtime_ns != written, "drips wait", timeout_s=0.3)
    journal.close()

    assert hidden(spool) == []


def test_the_disk_of_a_meter_that_rests_is_left_alone(spool: Path, clock: FakeClock) -> None:
    journal = journal_of(spool, clock)
    meter = Meter(RULES)
    before = spool.stat().st_mtime_ns
    for _ in range(3):
        journal.keep(meter, [])
        journal.write()
    journal.close()

    assert spool.stat().st_mtime_ns == before


def test_a_torn_slot_leaves_the_one_before() -> None:
    older, newer = format_slot(6, KEPT), format_slot(7, Kept(3, "boot", 5, None, None, 400, ""))
    assert len(older) == SLOT_BYTES
    assert parse_slots(older + newer) == (7, Kept(3, "boot", 5, None, None, 400, ""))
    for torn in (bytes(SLOT_BYTES), newer[:100], newer.replace(b"400", b"401"), b""):
        assert parse_slots(older + torn) == (6, KEPT)
        assert parse_slots(torn.ljust(SLOT_BYTES, b"\0") + older) == (6, KEPT)
    assert parse_slots(b"") is None


def test_two_producers_do_not_count_for_one_meter(spool: Path, clock: FakeClock) -> None:
    journal = journal_of(spool, clock)
    journal.keep(pouring(), [])
    journal.write()

    with pytest.raises(SpoolError, match="another process is at work"):
        journal_of(spool, clock)
    journal.close()


@pytest.mark.case(132)
def test_a_file_of_another_user_is_not_believed_and_stops_no_counting(spool: Path, clock: FakeClock) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    for name in (".flow-meter.tap1.partial", ".flow-meter.tap2.0123abcd-0.tmp"):
        (spool / name).write_bytes(format_slot(1, KEPT))
        os.chown(spool / name, 12_345, -1)

    journal_of(spool, clock, "tap2").close()
    assert pours(spool) == []
    journal = journal_of(spool, clock)
    journal.keep(pouring(), [Flow(60, 90_000, 95_000)])
    journal.write()
    assert [pour.pulses for pour in pours(spool)] == [60]
    assert "tap1.partial is another user's: remove it" in str(journal.problem)
    (spool / ".flow-meter.tap1.partial").unlink()
    journal.keep(pouring(271), [])
    journal.write()
    assert journal.problem is None
    assert parse_slots((spool / ".flow-meter.tap1.partial").read_bytes()) is not None
    journal.close([Flow(271, 100_000, 105_000)])
    assert sorted(pour.pulses for pour in pours(spool)) == [60, 271]


def test_what_a_meter_without_a_section_left_behind_is_recorded_with_its_pin(spool: Path, clock: FakeClock) -> None:
    journal = PourJournal(spool, "flow-meter", "gone", 7, RULES, clock)
    journal.keep(pouring(), [], 5000)
    journal.write()
    cut_off()
    (spool / ".kegboard.gone.partial").write_bytes(format_slot(1, KEPT))

    for left in take_up_others(spool, "flow-meter", ["tap1"], clock):
        left.close()
    assert [(pour.pin, pour.pulses) for pour in pours(spool)] == [(7, 270)]
    assert hidden(spool) == [".kegboard.gone.partial"]


@pytest.mark.case(87)
def test_after_a_boot_what_ended_waits_for_the_clock_and_is_dated_by_it(spool: Path) -> None:
    clock = FakeClock(since_boot_s=100)
    journal = journal_of(spool, clock)
    journal.keep(pouring(), [Flow(60, 90_000, 95_000)])
    journal.write()
    assert pours(spool) == []
    assert len(hidden(spool)) == 2
    clock.set_wall_by(7200)
    clock.now_s = 601
    journal.write()

    assert pours(spool) == [Pour(3, 60, 5000, NOW_MS + 7_200_000 - 10_000)]
    assert hidden(spool) == [".flow-meter.tap1.partial"]
    journal.close()


@pytest.mark.case(87)
@pytest.mark.parametrize("reboots", [False, True])
def test_what_waits_for_the_clock_waits_over_a_restart(
    spool: Path, reboots: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_of(spool, FakeClock(since_boot_s=100))
    journal.close([Flow(60, 90_000, 95_000)])
    assert pours(spool) == []
    if reboots:
        monkeypatch.setattr(pour_journal, "read_boot_id", lambda: "another")
    clock = FakeClock(since_boot_s=200)
    journal = journal_of(spool, clock)
    journal.write()
    assert pours(spool) == []
    clock.now_s = 601
    journal.close()

    booted_ms = NOW_MS - 200_000
    assert pours(spool) == [Pour(3, 60, 5000, booted_ms - 5000 if reboots else booted_ms + 90_000)]
    assert hidden(spool) == []


def test_a_pour_that_a_power_cut_ended_keeps_its_time(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    journal = journal_of(spool, clock)
    journal.keep(pouring(first_ms=round(clock.now_s * 1000) - 1000), [])
    journal.write()
    cut_off()
    monkeypatch.setattr(pour_journal, "read_boot_id", lambda: "another")
    journal = journal_of(spool, FakeClock(since_boot_s=5, wall_ms=NOW_MS - 3_600_000))
    journal.close()

    assert pours(spool) == [Pour(3, 270, 1000, NOW_MS - 1000)]


def test_a_synchronised_clock_is_believed_at_once(spool: Path) -> None:
    journal = journal_of(spool, FakeClock(since_boot_s=100, kernel=SYNCHRONISED))
    journal.close([Flow(60, 90_000, 95_000)])

    assert pours(spool) == [Pour(3, 60, 5000, NOW_MS - 10_000)]


def test_the_total_of_a_board_is_kept_from_one_start_to_the_next(spool: Path, clock: FakeClock) -> None:
    journal = journal_of(spool, clock)
    assert journal.total is None
    journal.keep(Meter(RULES), [], 5000)
    journal.close((), 5270)

    journal = journal_of(spool, clock)
    assert journal.total == 5270
    journal.close()
    assert hidden(spool) == []


def test_when_a_total_was_told_is_kept_until_the_machine_s_next_boot(
    spool: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_of(spool, clock)
    told_ms = round(clock.now_s * 1000)
    journal.close((), 5270)
    clock.now_s += 100
    journal = journal_of(spool, clock)
    assert journal.told_ms == told_ms
    journal.close((), 5270)
    monkeypatch.setattr(pour_journal, "read_boot_id", lambda: "another")
    clock.now_s = 20.0
    for _ in range(2):
        journal = journal_of(spool, clock)
        assert journal.told_ms == BEFORE_BOOT_MS
        journal.close((), 5270)


def test_a_slot_holds_the_longest_that_there_is() -> None:
    flow = Flow(2**31 - 1, 10**12, 10**12)
    kept = Kept(255, "5c6e9ac1-05f5-4c9b-8b7c-3b9e2f1f0f6f", -(10**15), flow, flow, 2**32 - 1, "0123abcd", 10**12)
    assert parse_slots(format_slot(2**40, kept)) == (2**40, kept)


@pytest.mark.case(86)
def test_while_the_spool_is_gone_what_is_counted_is_in_memory_and_one_line_says_so(
    spool: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    journal = journal_of(spool, clock)
    spool.rmdir()
    for started_ms in (0, 10_000):
        journal.keep(Meter(RULES), [Flow(60, started_ms, started_ms + 5000)])
        journal.write()
    assert journal.problem is not None
    assert "No such file or directory" in journal.problem
    assert len(caplog.records) == 1
    spool.mkdir()
    journal.write()

    assert [pour.pulses for pour in pours(spool)] == [60, 60]
    assert journal.problem is None
    journal.close()


@pytest.mark.case(122)
def test_a_disk_that_was_full_when_a_pour_began_holds_up_nothing_once_there_is_room(
    spool: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    journal = journal_of(spool, clock)
    with monkeypatch.context() as patch:
        # A file can be made there, its content has no room.
        patch.setattr("os.pwrite", full)
        journal.keep(pouring(), [Flow(60, 0, 5000)])
        journal.write()
        assert journal.problem is not None
    journal.write()

    assert journal.problem is None
    journal.close([Flow(70, 10_000, 15_000)])
    assert [pour.pulses for pour in pours(spool)] == [60, 70]
    assert hidden(spool) == []


def test_one_that_cannot_be_had_leaves_nothing_open(spool: Path, clock: FakeClock) -> None:
    journal = journal_of(spool, clock)
    journal.keep(pouring(), [])
    journal.write()
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(SpoolError):
            journal_of(spool, clock)

    assert open_descriptors() <= before
    journal.close()


@pytest.mark.case(132)
def test_a_neighbours_file_where_a_record_might_be_written_holds_up_nothing(spool: Path) -> None:
    clock = FakeClock(since_boot_s=100)
    journal = journal_of(spool, clock)
    journal.keep(pouring(), [Flow(60, 90_000, 95_000)])
    journal.write()
    (waiting,) = (name for name in hidden(spool) if name != ".flow-meter.tap1.partial")
    os.mkfifo(spool / f"{waiting.removesuffix('.partial')}.tmp")
    clock.now_s = 601
    writing = threading.Thread(target=journal.write, daemon=True)
    writing.start()
    writing.join(WAIT_S)

    assert not writing.is_alive()
    assert journal.problem is None
    assert [pour.pulses for pour in pours(spool)] == [60]
    journal.close()


@pytest.mark.case(132)
def test_a_neighbours_file_beside_a_record_on_its_way_does_not_make_it_go(spool: Path, clock: FakeClock) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    pour = Pour(3, 60, 5000, NOW_MS)
    (spool / ".flow-meter.tap1.0123abcd-0.tmp").write_bytes(format_record(pour))
    forged = spool / ".flow-meter.tap1.0123abcd-0.partial"
    forged.write_bytes(format_slot(1, KEPT))
    os.chown(forged, 12_345, -1)
    journal_of(spool, clock).close()

    assert pours(spool) == [pour]
    assert hidden(spool) == [forged.name]


@pytest.mark.case(132)
def test_names_that_neighbours_forge_are_told_in_one_line_and_take_up_nothing(
    spool: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    for number in range(50):
        for name in (f".kegboard.bar-{number}.partial", f".kegboard.bar-{number}.0123abcd-0.tmp"):
            (spool / name).write_bytes(format_slot(1, KEPT))
            os.chown(spool / name, 12_345, -1)
    before = open_descriptors()

    assert take_up_others(spool, "kegboard", [], clock) == []
    assert open_descriptors() <= before
    (line,) = caplog.messages
    assert ".kegboard.bar-0." in line
    assert "100 in all" in line
