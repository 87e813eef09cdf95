"""Each kind of step finds the bug that it is there for: the fix is taken out of the program, by a made schedule.

What is planted is a module that every Python loads at its start.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each runs the rig itself, for up to half a minute

RIG = Path(__file__).with_name("run.py")
ONE_MS = 1_700_000_000_000

USE_WHAT_IS_NOT_SILENT = """
from kegnet_client.net.connection import Connection
Connection.is_fresh = lambda self: self.sock is not None
"""
REMOVE_WITHOUT_COMPARING = """
from kegnet_client.spool.directory import Spool
Spool.holds = lambda self, file: True
"""
BELIEVE_ANOTHERS_ANSWER = """
import json
from dataclasses import replace
from kegnet_client.core.wire import batch
plain = batch.judge
def judge(answer, digest, *rest):
    if answer.body.startswith(b"{"):
        answer = replace(answer, body=json.dumps({**json.loads(answer.body), "request": digest}).encode())
    return plain(answer, digest, *rest)
batch.judge = judge
"""
OVERLOOK_AN_ERROR = """
import json
from dataclasses import replace
from kegnet_client.core.wire import batch
plain = batch.judge
def judge(answer, *rest):
    if answer.body.startswith(b"{"):
        fields = json.loads(answer.body)
        if fields.pop("error", None):
            answer = replace(answer, body=json.dumps(fields).encode())
    return plain(answer, *rest)
batch.judge = judge
"""
TAKE_THE_LAST_OF_TWO = """
from kegnet_client.core.wire import batch
batch._once = dict
"""
TAKE_AN_INTERIM_ANSWER_FOR_THE_ANSWER = (
    USE_WHAT_IS_NOT_SILENT
    + """
import http.client
from kegnet_client.net.connection import Answer
def begin(self):
    http.client.HTTPResponse.begin(self)
    if self.status < 200:
        self.status = 200
Answer.begin = begin
"""
)
GIVE_THE_FIRST_ADDRESS_ALL_THE_TIME = """
from kegnet_client.net.connection import Connection
plain = Connection._reach
Connection._reach = lambda self, address, within_s: plain(self, address, self.timeout)
"""
ONE_TIME_FOR_A_ROUND = """
from kegnet_client.producers import thermometer
thermometer.enumerate = lambda sensors: ((0, one) for one in sensors)
"""
BELIEVE_TORN_SECONDS = """
from kegnet_client.core import records
from kegnet_client.core.records import Pour
plain = records._parse_pour
def parse(line):
    parts = line.split(",")
    if len(parts) == 4 and len(parts[3]) == 10:
        return Pour(int(parts[0]), int(parts[1]), int(parts[2]) * 1000, int(parts[3]) * 1000)
    return plain(line)
records._parse_pour = parse
"""

ACKNOWLEDGE_WITHOUT_A_COMMIT = """
import sys
from sqlalchemy.engine.default import DefaultDialect
counted = 0
def do_commit(self, connection):
    global counted
    counted += 1
    connection.rollback() if counted > 20 and counted % 5 == 0 else connection.commit()
if "hub" in sys.argv and "run" in sys.argv:
    DefaultDialect.do_commit = do_commit
"""

NOTE_NO_INTENT = """
from kegnet_client.sinks.kegbot_journal import Journal
plain = Journal._write
def write(self, nonce, stored):
    if stored.drink is not None:
        plain(self, nonce, stored)
Journal._write = write
"""
MARK_NOTHING_THAT_IS_TAKEN = """
from contextlib import suppress
from kegnet_client.spool import fan_out
plain = fan_out._finish
def finish(*rest):
    with suppress(FileNotFoundError):
        plain(*rest)
fan_out._finish = finish
fan_out._write_mark = lambda *rest: None
"""
SYNC_NO_COPY = """
from types import SimpleNamespace
from kegnet_client.spool import fan_out
fan_out.os = SimpleNamespace(**{**vars(fan_out.os), "fsync": lambda fd: None})
"""

Step = dict[str, Any]


def _drop(number: int, how: str = "rename") -> Step:
    line = f"1,{number * 13 + 1},1,{ONE_MS + number}"
    return {"do": "drop", "how": how, "name": f"{number}.pour", "text": f"{line}\n", "record": line}


def _turn(mode: str) -> Step:
    return {"do": "server", "mode": mode}


WAIT: Step = {"do": "wait", "ms": 1500}
REWRITE: Step = {"do": "rewrite", "name": "one.pour", "lines": [f"1,14,71,{ONE_MS + 1}", f"1,14,71,{ONE_MS + 2}"]}
BLACKHOLE: Step = {"do": "first address", "what": "blackhole"}
ROUND: Step = {"do": "round", "sensors": ["28-0316a2795c5b", "28-000005e2fdc3"], "millidegrees": 4000}
TORN: Step = {"do": "drop", "how": "killed", "name": "torn.pour", "text": "1,14,71,1700000000", "record": None}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of step: ``steps`` that show it where ``plant`` takes its fix out, on ``version``."""

    version: str
    steps: tuple[Step, ...]
    plant: str


KINDS = {
    "left over apart": Kind(
        "v2", (_turn("left over apart"), _drop(1), WAIT, _turn("500"), _drop(2), WAIT), USE_WHAT_IS_NOT_SILENT
    ),
    "interim apart": Kind(
        "v2",
        (_turn("interim apart"), _drop(1), WAIT, _turn("500"), *(_drop(number) for number in range(2, 6)), WAIT, WAIT),
        TAKE_AN_INTERIM_ANSWER_FOR_THE_ANSWER,
    ),
    "rewrite": Kind("v2", (REWRITE,), REMOVE_WITHOUT_COMPARING),
    "another's": Kind("v3", (_turn("another's"), _drop(1), WAIT), BELIEVE_ANOTHERS_ANSWER),
    "error beside": Kind("v3", (_turn("error beside"), _drop(1), WAIT), OVERLOOK_AN_ERROR),
    "rejected twice": Kind("v3", (_turn("rejected twice"), _drop(1), WAIT), TAKE_THE_LAST_OF_TWO),
    "first address": Kind(
        "v2", (BLACKHOLE, {"do": "daemon", "what": "restart"}, _drop(1)), GIVE_THE_FIRST_ADDRESS_ALL_THE_TIME
    ),
    "round": Kind("v3", (ROUND,), ONE_TIME_FOR_A_ROUND),
    "killed": Kind("v2", (TORN,), BELIEVE_TORN_SECONDS),
}


TWO_SINKS = {"command": "send", "version": "v3", "sinks": 2, "at": "renameat"}


def _replay(part: str, case: dict[str, Any], directory: Path, plant: str) -> subprocess.CompletedProcess[str]:
    (directory / "sitecustomize.py").write_text(plant)
    file = directory / "case.json"
    file.write_text(json.dumps({"part": part, "seed": 1, "case": case}))
    return subprocess.run(
        [sys.executable, RIG, "--replay", file],
        env={**os.environ, "TMPDIR": str(directory), "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _replay_kind(kind: Kind, directory: Path, plant: str) -> subprocess.CompletedProcess[str]:
    case: dict[str, Any] = {"version": kind.version, "settling": False, "steps": kind.steps}
    if plant:
        case["quiet_s"] = 15  # what stands still is found sooner
    return _replay("model", case, directory, plant)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """One that PostgreSQL's account may enter, which pytest's own it may not."""
    with tempfile.TemporaryDirectory(prefix="kegnet-planted-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_of_step_finds_the_bug_that_it_is_there_for(name: str, tmp_path: Path) -> None:
    done = _replay_kind(KINDS[name], tmp_path, KINDS[name].plant)

    assert done.returncode == 1, done.stdout + done.stderr
    (failing,) = tmp_path.glob("*/failing-model.json")
    assert json.loads(failing.read_text())["violation"]


@pytest.mark.parametrize("name", KINDS)
def test_the_same_steps_find_nothing_in_the_program_as_it_is(name: str, tmp_path: Path) -> None:
    done = _replay_kind(KINDS[name], tmp_path, "")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_hub_that_acknowledges_what_it_did_not_commit_is_found(database: str, open_directory: Path) -> None:
    done = _replay("hub", {"database": database, "seconds": 3}, open_directory, ACKNOWLEDGE_WITHOUT_A_COMMIT)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "was taken from its spool and is not in the database" in done.stdout


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_hub_that_is_killed_while_devices_deliver_loses_and_doubles_nothing(
    database: str, open_directory: Path
) -> None:
    done = _replay("hub", {"database": database, "seconds": 3}, open_directory, "")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("plant", "found"), [(NOTE_NO_INTENT, "is 2 drinks"), (MARK_NOTHING_THAT_IS_TAKEN, "is lost")])
def test_a_kill_finds_that_a_record_is_not_once_at_each_of_two_sinks(
    plant: str, found: str, open_directory: Path
) -> None:
    done = _replay("crash", TWO_SINKS, open_directory, plant)

    assert done.returncode == 1, done.stdout + done.stderr
    assert found in done.stdout


def test_a_power_cut_finds_that_a_record_was_taken_into_the_queues_of_two_sinks_unsynced(open_directory: Path) -> None:
    done = _replay("powercut", {"scenario": "send", "version": "v3", "sinks": 2}, open_directory, SYNC_NO_COPY)

    assert done.returncode == 1, done.stdout + done.stderr
    (failing,) = open_directory.glob("*/failing-powercut.json")
    assert json.loads(failing.read_text())["case"]["promised"]
