"""What may not run any more is not started by any way: not as the last good version, a library, or one that waits."""

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.host.clock import Clock
from kegnet_client.runner import command as command_module
from kegnet_client.runner import program as program_module
from kegnet_client.runner import supervisor as supervisor_module
from kegnet_client.runner.box import Box, Boxes
from kegnet_client.runner.couch import Change
from kegnet_client.runner.judge import Allowed, Judge
from kegnet_client.runner.sequences import Sequences
from kegnet_client.runner.shelf import Shelf, StoredCommand
from kegnet_client.runner.statement import Permissions
from kegnet_client.runner.supervisor import Supervisor
from kegnet_client.runner.trust import Trust

from ..support.operators import MAC_ID, Document, Operator, command, program
from ..support.waits import wait_until

LASTING = "cat"
"""It quits when it is told to."""
BROKEN = "exit 1"
DEVICE = "/dev/ttyACM0"
LINE = "/dev/gpiochip0:17"
OVER = ("expired", "refused")
HOUR_MS = 3_600_000


class AdjustableClock(Clock):
    """The machine's, but that the wall clock is ``ahead_ms``."""

    ahead_ms = 0
    is_doubted = False

    def wall_ms(self) -> int:
        return super().wall_ms() + self.ahead_ms

    def doubt(self) -> str | None:
        return "it is not set" if self.is_doubted else None

    def in_an_hour(self) -> str:
        return datetime.fromtimestamp((self.wall_ms() + HOUR_MS) / 1000, UTC).isoformat()


class ShellBoxes(Boxes):
    """No boxes: a module ``main`` is a script of the shell. ``started`` has what was started, in its order."""

    def __init__(self, clock: Clock) -> None:
        super().__init__((), Path("/"))
        object.__setattr__(self, "clock", clock)
        object.__setattr__(self, "started", [])
        object.__setattr__(self, "times_ms", [])

    clock: Clock
    started: list[Mapping[str, str] | Sequence[str]]
    times_ms: list[int]

    def start(
        self, modules: Mapping[str, str], command: Sequence[str], permissions: Permissions, state: Path | None
    ) -> Box:
        self.times_ms.append(self.clock.wall_ms())
        self.started.append(command or modules)
        pipe = subprocess.PIPE
        err = pipe if command else subprocess.STDOUT
        words = command or ["sh", "-c", modules["main"]]
        process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=err, bufsize=0)
        return Box(process, os.open(os.devnull, os.O_RDONLY))


class Bench:
    """A supervisor at work, without a database."""

    def __init__(self, directory: Path, trust: Trust) -> None:
        self.trust = trust
        self.clock = AdjustableClock()
        self.boxes = ShellBoxes(self.clock)
        self.results: list[StoredCommand] = []
        self.resyncs = 0
        sequences = Sequences(directory)
        allowed = Allowed(
            network=False, spool=False, devices=frozenset({DEVICE}), gpio=frozenset({LINE}), memory_mib=128
        )
        self.supervisor = Supervisor(
            Judge(frozenset({str(MAC_ID)}), trust, allowed, sequences),
            trust,
            sequences,
            Shelf(directory),
            self.boxes,
            self.clock,
            tell=lambda _name, _line: None,
            changed=lambda: None,
            done=self.results.append,
            resync=self._resync,
        )
        self._thread = threading.Thread(target=self.supervisor.run)
        self._thread.start()

    def _resync(self) -> None:
        self.resyncs += 1

    def offer(self, document: Document) -> None:
        self.supervisor.offer(Change(document["_id"], 1, False, document))

    def wait_for_state(self, name: str, *states: str) -> dict[str, Any]:
        def row() -> dict[str, Any]:
            return next((one for one in self.supervisor.status()[0] if one["name"] == name), {"state": "absent"})

        wait_until(lambda: row()["state"] in states, f"{name} is not {states}")
        return row()

    def starts(self, script: str) -> int:
        return sum(isinstance(one, dict) and one["main"] == script for one in self.boxes.started)

    def revoke(self, operator: Operator) -> None:
        self.trust.revoked.write_text(operator.public.read_text())

    def close(self) -> None:
        self.supervisor.stop()
        self._thread.join()


@pytest.fixture
def second(tmp_path: Path, trust: Trust) -> Operator:
    """The second key of the same operator."""
    (tmp_path / "second").mkdir()
    second = Operator(tmp_path / "second", "ann")
    with trust.allowed.open("a") as file:
        file.write(second.allowed_line())
    return second


@pytest.fixture
def bench(tmp_path: Path, trust: Trust, second: Operator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(supervisor_module, "LOOK_S", 0.05)
    monkeypatch.setattr(program_module, "PROBATION_S", 0.2)
    monkeypatch.setattr(program_module, "FIRST_RETRY_S", 0.2)
    monkeypatch.setattr(command_module, "MAX_AT_ONCE", 1)
    (tmp_path / "runner").mkdir()
    bench = Bench(tmp_path / "runner", trust)
    yield bench
    bench.close()


def test_a_new_version_runs_before_the_old_one_quits(bench: Bench, operator: Operator, tmp_path: Path) -> None:
    new, beside = tmp_path / "new", tmp_path / "beside"
    bench.offer(operator.sign(program(1, f"cat; until test -e {new}; do sleep 0.01; done; touch {beside}")))
    bench.wait_for_state("tap", "running")
    bench.offer(operator.sign(program(2, f"touch {new}; cat")))
    wait_until(beside.exists, "the old one does not see the new one")
    assert bench.wait_for_state("tap", "running")["sequence"] == 2


@pytest.mark.parametrize("asked", [{"devices": [DEVICE]}, {"gpio": [LINE]}], ids=["device", "line"])
def test_a_new_version_of_a_program_with_a_device_waits_until_the_old_one_has_ended(
    bench: Bench, operator: Operator, tmp_path: Path, asked: Document
) -> None:
    new, alone = tmp_path / "new", tmp_path / "alone"
    granted = {"permissions": asked}
    bench.offer(operator.sign(program(1, f"cat; sleep 0.3; test -e {new} || touch {alone}", **granted)))
    bench.wait_for_state("tap", "running")
    bench.offer(operator.sign(program(2, f"touch {new}; cat", **granted)))
    wait_until(new.exists, "the new one does not run")
    assert alone.exists()


def test_a_new_version_that_fails_because_of_what_the_old_one_holds_runs_once_that_has_ended(
    bench: Bench, operator: Operator, tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    new = f"mkdir {lock} && cat"
    bench.offer(operator.sign(program(1, f"mkdir {lock} && cat; sleep 0.5; rmdir {lock}")))
    bench.wait_for_state("tap", "running")
    bench.offer(operator.sign(program(2, new)))
    wait_until(lambda: bench.starts(new) == 2, "it is not tried again")
    assert bench.wait_for_state("tap", "running", "probation")["sequence"] == 2


def test_of_many_versions_at_once_two_run_at_most_and_the_last_one_in_the_end(
    bench: Bench, operator: Operator, tmp_path: Path
) -> None:
    counted, most = tmp_path / "counted", tmp_path / "most"
    counted.mkdir()
    script = f"mkdir {counted}/$$; ls {counted} | wc -l >> {most}; cat; sleep 0.1; rmdir {counted}/$$; true "
    for sequence in range(1, 9):
        bench.offer(operator.sign(program(sequence, f"{script}{sequence}")))
    wait_until(lambda: bench.starts(f"{script}8") == 1, "the last one does not run")
    assert bench.wait_for_state("tap", "running")["sequence"] == 8
    wait_until(lambda: len(list(counted.iterdir())) == 1, "an old one runs")
    assert max(map(int, most.read_text().split())) <= 2


def test_the_last_good_version_does_not_come_back_after_its_key_was_revoked(
    bench: Bench, operator: Operator, second: Operator
) -> None:
    bench.offer(operator.sign(program(1, LASTING)))
    bench.wait_for_state("tap", "running")
    bench.revoke(operator)
    bench.wait_for_state("tap", "refused")
    bench.offer(second.sign(program(2, BROKEN)))
    wait_until(lambda: bench.starts(BROKEN) >= 2, "it is not tried again")
    assert bench.starts(LASTING) == 1


def test_the_last_good_version_does_not_come_back_after_it_has_expired(bench: Bench, operator: Operator) -> None:
    bench.offer(operator.sign(program(1, LASTING, expires=bench.clock.in_an_hour())))
    bench.wait_for_state("tap", "running")
    bench.clock.ahead_ms = 2 * HOUR_MS
    bench.wait_for_state("tap", *OVER)
    bench.offer(operator.sign(program(2, BROKEN)))
    wait_until(lambda: bench.starts(BROKEN) >= 2, "it is not tried again")
    assert bench.starts(LASTING) == 1


def test_a_program_that_fails_is_not_tried_again_after_it_has_expired(bench: Bench, operator: Operator) -> None:
    bench.offer(operator.sign(program(1, BROKEN, expires=bench.clock.in_an_hour())))
    bench.wait_for_state("tap", "failed")
    now_ms = bench.clock.wall_ms()
    bench.clock.ahead_ms = 2 * HOUR_MS
    bench.wait_for_state("tap", *OVER)
    assert max(bench.boxes.times_ms) < now_ms + HOUR_MS


def test_programs_lose_the_library_whose_key_was_revoked_and_run_without_it(
    bench: Bench, operator: Operator, second: Operator
) -> None:
    library = {"_id": "lib", "type": MAC_ID, "name": "library", "sequence": 1, "global_modules": {"lib": "shared"}}
    bench.offer(operator.sign(library))
    bench.wait_for_state("library", "library")
    bench.offer(second.sign(program(1, LASTING)))
    bench.wait_for_state("tap", "running")
    bench.revoke(operator)
    wait_until(lambda: len(bench.boxes.started) == 2, "it goes on with the library")
    assert bench.boxes.started == [{"lib": "shared", "main": LASTING}, {"main": LASTING}]
    assert bench.wait_for_state("library", "refused")["note"]


def test_programs_lose_the_library_that_has_expired_and_run_without_it(bench: Bench, operator: Operator) -> None:
    library = {"_id": "lib", "type": MAC_ID, "name": "library", "sequence": 1, "global_modules": {"lib": "shared"}}
    bench.offer(operator.sign(library | {"expires": bench.clock.in_an_hour()}))
    bench.offer(operator.sign(program(1, LASTING)))
    bench.wait_for_state("tap", "running")
    bench.clock.ahead_ms = 2 * HOUR_MS
    wait_until(lambda: len(bench.boxes.started) == 2, "it goes on with the library")
    assert bench.boxes.started == [{"lib": "shared", "main": LASTING}, {"main": LASTING}]
    bench.wait_for_state("library", *OVER)


def test_a_command_that_expires_while_it_waits_for_others_does_not_run(
    bench: Bench, operator: Operator, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "end")
    bench.offer(operator.sign(command("cat", str(tmp_path / "end"), _id="first")))
    bench.offer(operator.sign(command("true", _id="second", expires=bench.clock.in_an_hour())))
    # Once the third is refused, the second was taken.
    wait_until(lambda: len(bench.boxes.started) == 1, "the first does not run")
    bench.offer({"_id": "third", "cmd": "none"})
    wait_until(lambda: bench.supervisor.status()[1], "the third is not refused")
    bench.clock.ahead_ms = 2 * HOUR_MS
    (tmp_path / "end").write_text("end")
    wait_until(lambda: len(bench.results) == 2, "the second has no result")
    assert bench.results[1].result == {"exit": None, "stdout": None, "stderr": "it did not run: it has expired"}
    assert bench.boxes.started == [("cat", str(tmp_path / "end"))]


def test_a_command_that_ran_costs_nothing_when_the_database_brings_it_again(
    bench: Bench, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = operator.sign(command("true", _id="first"))
    bench.offer(signed)
    wait_until(lambda: bench.results, "it does not run")
    asked: list[bytes] = []
    plain = Trust.find_signer

    def find_signer(trust: Trust, data: bytes, signature: bytes) -> str:
        asked.append(data)
        return plain(trust, data, signature)

    monkeypatch.setattr(Trust, "find_signer", find_signer)
    bench.offer(signed)
    bench.offer({"_id": "second", "cmd": "none"})
    wait_until(lambda: bench.supervisor.status()[1], "the second is not refused")
    assert asked == []
    assert bench.boxes.started == [("true",)]


@pytest.mark.parametrize("left", [{}, {"cmd": ["true"], "expires": "2100-01-01T00:00:00Z"}], ids=["none", "a command"])
def test_a_program_stops_whose_document_loses_its_code(bench: Bench, operator: Operator, left: Document) -> None:
    bench.offer(operator.sign(program(1, LASTING)))
    bench.wait_for_state("tap", "running")
    type_ = f"{MAC_ID}_cmd" if left else MAC_ID
    bench.offer(operator.sign({"_id": "a1", "type": type_, "name": "look", "sequence": 1, **left}))
    bench.wait_for_state("tap", "absent")


LIBRARY = {"_id": "lib", "type": MAC_ID, "name": "library", "sequence": 1, "global_modules": {"lib": "shared"}}


def test_a_deletion_elsewhere_restarts_nothing_and_that_of_a_library_restarts_its_users(
    bench: Bench, operator: Operator
) -> None:
    bench.offer(operator.sign(LIBRARY))
    bench.offer(operator.sign(program(1, LASTING)))
    bench.wait_for_state("tap", "running")
    bench.supervisor.offer(Change("somebody's", 2, True, None))
    bench.supervisor.offer(Change("lib", 3, True, None))
    wait_until(lambda: len(bench.boxes.started) == 2, "it goes on with the library")
    bench.wait_for_state("tap", "running")
    assert bench.boxes.started == [{"lib": "shared", "main": LASTING}, {"main": LASTING}]


def test_of_two_documents_of_one_name_the_second_is_refused_with_its_reason(bench: Bench, operator: Operator) -> None:
    bench.offer(operator.sign(program(1, LASTING)))
    bench.offer(operator.sign(program(1, BROKEN, _id="b")))
    wait_until(lambda: bench.supervisor.status()[1], "it is not told")
    (refused,) = bench.supervisor.status()[1]
    assert (refused["id"], "sequence 1 is not above 1" in refused["reason"]) == ("b", True)
    assert bench.starts(BROKEN) == 0


def test_two_signers_of_one_name_run_both(bench: Bench, operator: Operator, stranger: Operator) -> None:
    with bench.trust.allowed.open("a") as file:
        file.write(stranger.allowed_line())
    bench.offer(operator.sign(program(1, LASTING)))
    bench.offer(stranger.sign(program(1, LASTING, _id="b")))
    wait_until(lambda: bench.starts(LASTING) == 2, "one does not run")


def test_programs_that_die_at_once_hold_up_no_other(bench: Bench, operator: Operator) -> None:
    for number in range(5):
        bench.offer(operator.sign(program(1, BROKEN, _id=f"b{number}", name=f"broken {number}")))
    bench.offer(operator.sign(program(1, LASTING)))
    bench.wait_for_state("tap", "running")


@pytest.mark.case(129)
def test_a_refusal_is_told_no_more_once_its_document_has_no_code(bench: Bench) -> None:
    bench.offer(program())
    wait_until(lambda: bench.supervisor.status()[1], "it is not refused")
    bench.offer({"_id": "a1", "note": "nothing"})
    wait_until(lambda: not bench.supervisor.status()[1], "it is still told")


def test_what_the_feed_brings_after_the_end_is_let_go(bench: Bench) -> None:
    bench.close()
    taken = os.eventfd(0, os.EFD_NONBLOCK)  # the number that was the supervisor's
    try:
        bench.offer(program())
        bench.supervisor.stop()
        with pytest.raises(BlockingIOError):
            os.eventfd_read(taken)
    finally:
        os.close(taken)


@pytest.mark.case(129)
def test_a_damaged_file_of_a_program_is_left_out_and_the_database_brings_it_again(
    tmp_path: Path, trust: Trust, operator: Operator, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    document = operator.sign(program(1, LASTING))
    bench.offer(document)
    bench.wait_for_state("tap", "running")
    bench.close()
    (file,) = (tmp_path / "runner/programs").glob("*.json")
    file.write_text('{"signer": "ann", "current": []}')
    again = Bench(tmp_path / "runner", trust)
    try:
        again.offer(document)
        again.wait_for_state("tap", "running", "probation")
        assert f"{file}: cannot be read" in caplog.text
    finally:
        again.close()


def test_what_was_too_much_to_be_held_until_the_clock_is_right_is_asked_for_again(
    bench: Bench, operator: Operator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor_module, "MAX_HELD", 2)
    bench.clock.is_doubted = True
    for number in range(3):
        bench.offer(program(_id=f"other{number}", type=1))
    document = operator.sign(program(1, LASTING))
    bench.offer(document)
    wait_until(lambda: "what is new waits" in caplog.text, "it does not wait")
    # Its queue takes so many at a time: the last one is put in once those before it were taken out.
    for number in range(supervisor_module.MAX_CHANGES + 1):
        bench.supervisor.offer(Change(f"gone{number}", 9, True, None))
    bench.clock.is_doubted = False
    wait_until(lambda: bench.resyncs, "the feed is not asked for the rest")
    bench.offer(document)
    bench.wait_for_state("tap", "running", "probation")
