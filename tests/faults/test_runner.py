"""A database that lies, stutters and goes away, and a runner that is killed: the right things run, each once."""

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ..support.operators import MAC_ID, Document, Operator, command, program
from ..support.program import COMMAND, Program
from ..support.small_couch import SmallCouch
from ..support.waits import wait_until

HEARTBEAT = f"{MAC_ID}_heartbeat"
LASTING = """
import time
log("version {}")
def main():
    while not should_quit():
        time.sleep(0.05)
"""


class Device:
    """A device, its runner, and the database as it likes."""

    def __init__(self, root: Path, couch: SmallCouch, operator: Operator) -> None:
        self.root, self.couch, self.operator = root, couch, operator
        (root / "conf").mkdir(parents=True)
        (root / "conf/allowed_signers").write_text(operator.allowed_line())
        self.configure("")
        self.runner = self.start()

    def configure(self, more: str) -> None:
        settings = f"[Runner]\nurl = {self.couch.url}\ndirectory = runner\nmacId = {MAC_ID}\n{more}\n"
        (self.root / "conf/client.conf").write_text(
            "[KegNet]\nuuid = 3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54\nserviceBaseURL = https://hub.example/rest/v3\n"
            + settings
        )

    def start(self) -> Program:
        self.runner = Program([COMMAND, "runner", "--root", self.root], dict(os.environ))
        return self.runner

    def kill(self) -> None:
        self.runner.process.send_signal(signal.SIGKILL)
        self.runner.process.wait()
        self.runner.close()

    def put(self, document: Document) -> Document:
        signed = self.operator.sign(document)
        self.couch.put(signed)
        return signed

    def wait_for(self, text: str, count: int = 1) -> None:
        self.runner.log.wait_for(text, count, timeout_s=60)

    def boxes(self) -> list[int]:
        """The processes of this device's boxes."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if b"bwrap" in (words := (place / "cmdline").read_bytes()) and os.fsencode(self.root) in words:
                    found.append(int(place.name))
        return found


def is_gone(argument: str) -> bool:
    """Whether no process was called with it."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if argument.encode() in (place / "cmdline").read_bytes().split(b"\0"):
                return False
    return True


@pytest.fixture
def device(tmp_path: Path, couch: SmallCouch, operator: Operator) -> Iterator[Device]:
    device = Device(tmp_path / "root", couch, operator)
    yield device
    device.runner.stop()
    device.runner.close()
    assert device.boxes() == []


def refused(couch: SmallCouch, reason: str) -> None:
    couch.wait_for(HEARTBEAT, lambda one: any(reason in row["reason"] for row in one["refused"]))


@pytest.mark.case(114)
def test_what_may_not_run_is_told_once_and_never_runs(device: Device, couch: SmallCouch, stranger: Operator) -> None:
    couch.put(program(code="log('unsigned')"))
    refused(couch, "not signed")
    couch.put(stranger.sign(program(code="log('strange')")))
    refused(couch, "not one that this device allows")
    couch.put(device.operator.sign(program(code="log('altered')")) | {"code": "log('worse')"})
    device.put(program(code="log('good')\ndef main(): pass"))
    device.wait_for("[tap] good")
    assert device.runner.log.lines("is refused: it is not signed") != []
    assert [line for line in device.runner.log.lines("[tap]") if "good" not in line] == []


@pytest.mark.case(114)
def test_an_older_version_that_the_database_brings_back_does_not_run(device: Device, couch: SmallCouch) -> None:
    old = device.put(program(1, LASTING.format(1)))
    device.wait_for("[tap] version 1")
    device.put(program(2, LASTING.format(2)))
    device.wait_for("[tap] version 2")
    couch.put(old)
    refused(couch, "sequence 1 is not above 2")
    couch.delete("a1")
    couch.put(old)
    device.put(program(1, LASTING.format(3), _id="b", name="other"))
    device.wait_for("[other] version 3")
    assert len(device.runner.log.lines("[tap] version 1")) == 1


@pytest.mark.case(117)
def test_half_a_line_and_nonsense_end_the_feed_which_goes_on_where_it_was(device: Device, couch: SmallCouch) -> None:
    device.put(program(1, LASTING.format(1)))
    device.wait_for("[tap] version 1")
    couch.raw = [b'{"seq":1,"id":"a', b"<html>\n", b'{"seq":"x"}\n']
    number = len(couch.feeds)
    device.kill()
    device.start()
    device.wait_for("the feed holds a line that is no JSON")
    device.put(program(2, LASTING.format(2)))
    device.wait_for("[tap] version 2")
    assert len(couch.feeds) >= number + 4
    assert couch.raw == []


@pytest.mark.case(117)
@pytest.mark.parametrize(
    "value", [b"[" * 100_000 + b"]" * 100_000, b"1" * 10_000], ids=["nested too deep", "a number too long"]
)
def test_a_document_that_cannot_be_read_does_not_end_the_feed(value: bytes, device: Device, couch: SmallCouch) -> None:
    device.put(program(1, LASTING.format(1)))
    device.wait_for("[tap] version 1")
    device.kill()
    good = device.operator.sign(program(2, LASTING.format(2)))
    poison = b'{"seq":1,"id":"x","doc":{"_id":"x","code":' + value + b"}}\n"
    couch.raw = [poison + json.dumps({"seq": 2, "id": "a1", "doc": good}).encode() + b"\n"]
    device.start()
    device.wait_for("[tap] version 2")
    assert device.runner.log.lines("is left out") != []


@pytest.mark.case(117)
def test_a_result_that_the_database_refuses_holds_up_nothing_else(device: Device, couch: SmallCouch) -> None:
    couch.forbidden = {f"c1_ret_{MAC_ID}", "c2"}
    device.put(command("true"))
    device.wait_for("c1 runs")
    device.put(command("echo", "two", _id="c2", sequence=2))
    assert couch.wait_for(f"c2_ret_{MAC_ID}", lambda one: True)["stdout"] == "two\n"
    device.put(program(1, LASTING.format(1)))
    couch.wait_for(HEARTBEAT, lambda one: [row["sequence"] for row in one["programs"]] == [1])
    couch.forbidden = set()
    couch.wait_for(f"c1_ret_{MAC_ID}", lambda one: True)


@pytest.mark.case(117)
def test_a_session_that_ends_is_begun_again(device: Device, couch: SmallCouch) -> None:
    device.put(program(1, LASTING.format(1)))
    device.wait_for("[tap] version 1")
    logins = couch.logins
    couch.refuse_next = 1
    device.put(program(2, LASTING.format(2)))
    couch.wait_for(HEARTBEAT, lambda one: [row["sequence"] for row in one["programs"]] == [2])
    assert couch.logins == logins + 1


@pytest.mark.case(118)
def test_a_runner_that_dies_takes_its_boxes_along_and_runs_the_highest_again(device: Device) -> None:
    device.put(program(1, LASTING.format(1)))
    device.put(program(2, LASTING.format(2)))
    device.wait_for("[tap] version 2")
    assert device.boxes() != []
    device.kill()
    wait_until(lambda: device.boxes() == [], "a box outlives its runner")
    device.start()
    device.wait_for("[tap] version 2")
    assert device.runner.log.lines("[tap] version 1") == []


@pytest.mark.case(118)
def test_no_box_outlives_a_runner_that_dies_while_it_starts_them(device: Device) -> None:
    for number in range(1, 9):
        device.put(command("sleep", seconds := f"50.{os.getpid()}{number}", _id=f"c{number}"))
        device.wait_for(f"c{number} runs")
        device.kill()
        wait_until(partial(is_gone, seconds), "a command outlives its runner", 5)
        device.start()


def listening(pid: int) -> set[str]:
    """The sockets of a process that wait for connections, or for packets."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(link.readlink()).removeprefix("socket:[").rstrip("]"))
    found = set()
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == state and words[9] in inodes:
                found.add(f"{table} {words[1]}")
    return found


def test_a_runner_listens_nowhere(device: Device) -> None:
    device.put(program(1, LASTING.format(1)))
    device.wait_for("[tap] version 1")
    assert listening(device.runner.process.pid) == set()


def test_a_command_has_its_result_in_its_document_and_beside_it(device: Device, couch: SmallCouch) -> None:
    device.put(command("sh", "-c", "echo out; echo err >&2; exit 3"))
    beside = couch.wait_for(f"c1_ret_{MAC_ID}", lambda one: True)
    assert (beside["exit"], beside["stdout"], beside["stderr"]) == (3, "out\n", "err\n")
    assert couch.wait_for("c1", lambda one: "ret" in one)["ret"] == ["out\n", "err\n"]
    device.put(command("/no/such", _id="c2"))
    ret = couch.wait_for("c2", lambda one: "ret" in one)["ret"]
    assert ret[0] is None
    assert "FileNotFoundError" in ret[1]


@pytest.mark.case(118)
def test_a_command_runs_at_most_once_whatever_becomes_of_the_runner(device: Device, couch: SmallCouch) -> None:
    signed = device.put(command("sleep", seconds := f"50.{os.getpid()}"))
    device.wait_for("c1 runs")
    device.kill()
    wait_until(partial(is_gone, seconds), "the command outlives its runner")
    device.start()
    said = couch.wait_for(f"c1_ret_{MAC_ID}", lambda one: True)
    assert (said["exit"], said["stderr"]) == (None, "the runner ended while it ran")
    couch.put({**signed, "_id": "again"})
    device.put(command("echo", "later", _id="c2"))
    couch.wait_for(f"c2_ret_{MAC_ID}", lambda one: one["stdout"] == "later\n")
    assert device.runner.log.lines(" runs: ('sleep'") == []
    assert couch.get(f"again_ret_{MAC_ID}") is None


def test_a_command_found_after_an_outage_runs_if_it_has_not_expired(device: Device, couch: SmallCouch) -> None:
    device.runner.stop()
    device.runner.close()
    device.put(command("echo", "late", _id="late", expires="2020-01-01T00:00:00Z"))
    device.put(command("echo", "found", _id="found"))
    device.start()
    couch.wait_for(f"found_ret_{MAC_ID}", lambda one: one["stdout"] == "found\n")
    refused(couch, "has expired")
    assert couch.get(f"late_ret_{MAC_ID}") is None


def test_a_command_that_does_not_end_is_ended(device: Device, couch: SmallCouch) -> None:
    device.put(command("sleep", "600", permissions={"seconds": 1}))
    assert couch.wait_for(f"c1_ret_{MAC_ID}", lambda one: True)["exit"] in (137, -9)


def test_global_modules_reach_every_program_of_their_signer(device: Device) -> None:
    device.put(program(1, "import common\ndef main():\n    log('has %s', common.NAME)"))
    device.wait_for("No module named 'common'")
    library = {"_id": "lib", "type": "module", "targets": "all", "name": "library", "sequence": 1}
    device.put({**library, "global_modules": {"common": "NAME = 'it'"}})
    device.put(program(2, "import common\ndef main():\n    log('has %s', common.NAME)"))
    device.wait_for("[tap] has it")


@pytest.mark.case(116)
def test_a_log_without_end_is_cut_and_the_others_go_on(device: Device, couch: SmallCouch) -> None:
    device.put(program(1, "def main():\n    while not should_quit(): log('x' * 100)", _id="loud", name="loud"))
    device.wait_for("[loud] xxx")
    device.put(program(1, LASTING.format(1)))
    device.wait_for("[tap] version 1")
    couch.delete("loud")
    device.wait_for("[loud] (")
    assert len(device.runner.log.lines("[loud] x")) < 1500


@pytest.mark.case(116)
@pytest.mark.slow  # for as long as a program has to end
def test_a_program_that_does_not_quit_is_killed_while_the_next_one_runs(device: Device) -> None:
    device.put(program(1, "import time\ndef main():\n    log('stays')\n    time.sleep(600)"))
    device.wait_for("[tap] stays")
    device.put(program(2, LASTING.format(2)))
    device.wait_for("[tap] version 2")
    device.wait_for("did not quit and is killed")
    wait_until(lambda: len(device.boxes()) == 2, "the old one runs")  # bubblewrap is two processes


@pytest.mark.case(118)
@pytest.mark.slow
def test_after_many_changes_and_kills_the_highest_runs_once_and_each_command_ran_at_most_once(
    device: Device, couch: SmallCouch
) -> None:
    chance = random.Random(1)  # noqa: S311 (when to kill)
    last = 20
    for number in range(1, last + 1):
        device.put(program(number, LASTING.format(number)))
        device.put(command("echo", str(number), _id=f"c{number}"))
        time.sleep(chance.random())
        if number % 3 == 0:
            device.kill()
            device.start()
    device.wait_for(f"[tap] version {last}")
    couch.wait_for(HEARTBEAT, lambda one: [row["sequence"] for row in one["programs"]] == [last])
    for number in range(1, last + 1):
        said = couch.wait_for(f"c{number}_ret_{MAC_ID}", lambda one: True)
        assert (said["exit"], said["stdout"]) in ((0, f"{number}\n"), (None, None))
        assert [identifier for _, identifier in couch.changes].count(f"c{number}_ret_{MAC_ID}") == 1
    wait_until(lambda: len(device.boxes()) == 2, "more than one runs")  # bubblewrap is two processes
