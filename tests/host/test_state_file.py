"""What a running process leaves for ``kegnet-client status``, and for how long it is trusted."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.host.root import DEFAULT_ROOT
from kegnet_client.host.state_file import StateFile, StateWriter

PROGRAM = """
import sys
from pathlib import Path
from kegnet_client.host.root import DEFAULT_ROOT
from kegnet_client.host.state_file import StateFile

StateFile(Path(sys.argv[1])).write({"link": "up"})
print(flush=True)
sys.stdin.read()
"""


def test_what_a_process_wrote_is_read_while_it_lives_and_not_after(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        state = StateFile(tmp_path).read()
        process.kill()
    assert state is not None
    assert (state["link"], state["pid"]) == ("up", process.pid)
    assert StateFile(tmp_path).read() is None


def test_another_process_with_the_same_number_is_not_taken_for_it(tmp_path: Path) -> None:
    # As after another boot: ROOT/.state is on disk and outlives it.
    StateFile(tmp_path).write({"link": "up"})
    path = tmp_path / ".state" / "state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"born": state["born"] - 1}))
    assert StateFile(tmp_path).read() is None


def test_it_is_replaced_and_removed(tmp_path: Path) -> None:
    writer = StateFile(tmp_path)
    writer.write({"link": "up"})
    writer.write({"link": "waiting"})
    state = StateFile(tmp_path).read()
    assert state is not None
    assert state["link"] == "waiting"
    assert [path.name for path in (tmp_path / ".state").iterdir()] == ["state.json"]
    writer.remove()
    assert StateFile(tmp_path).read() is None
    assert list((tmp_path / ".state").iterdir()) == []


DAMAGED = ["", '{"pid": 1', "\x00\x00", "null", "[]", "3", "NaN", "[" * 100_000, "{}", '{"pid": "\\u0000", "born": 1}']


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / ".state").mkdir()
    (tmp_path / ".state" / "state.json").write_text(content)
    assert StateFile(tmp_path).read() is None


def test_the_installed_roots_is_in_run_and_every_others_is_below_it(tmp_path: Path) -> None:
    run, root = tmp_path / "run", tmp_path / "root"
    root.mkdir()
    StateFile(DEFAULT_ROOT, run).write({"link": "up"})
    assert [path.name for path in run.iterdir()] == ["state.json"]
    assert StateFile(DEFAULT_ROOT, run).read() is not None
    StateFile(root, run).write({"link": "waiting"})
    assert [path.name for path in (root / ".state").iterdir()] == ["state.json"]
    state = StateFile(root, run).read()
    assert state is not None
    assert state["link"] == "waiting"


def test_a_directory_that_cannot_be_written_is_told_and_stops_nothing(tmp_path: Path) -> None:
    in_the_way = tmp_path / ".state"
    in_the_way.touch()
    writer = StateFile(tmp_path)
    writer.write({"link": "up"})
    assert writer.problem is not None
    assert writer.problem.startswith(f"{in_the_way}: ")
    in_the_way.unlink()
    writer.write({"link": "up"})
    assert writer.problem is None
    assert StateFile(tmp_path).read() is not None


class SlowFile(StateFile):
    """On a card that writes when the test lets it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.written: list[dict[str, Any]] = []

    def write(self, state: dict[str, Any]) -> None:
        self.began.set()
        assert self.go_on.wait(20.0)
        self.written.append(state)
        super().write(state)


def test_a_slow_disk_holds_up_nobody_and_gets_only_the_newest(tmp_path: Path) -> None:
    file = SlowFile(tmp_path)
    writer = StateWriter(file)
    writer.write({"accepted": 1})
    assert file.began.wait(20.0)
    for accepted in range(2, 1000):
        writer.write({"accepted": accepted})
    file.began.clear()
    file.go_on.set()
    assert file.began.wait(20.0)
    writer.close()

    assert file.written[0] == {"accepted": 1}
    assert file.written[1:] in ([], [{"accepted": 999}])
    assert StateFile(tmp_path).read() is None


def test_a_disk_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    file = SlowFile(tmp_path)
    writer = StateWriter(file)
    writer.write({"accepted": 1})
    assert file.began.wait(20.0)
    writer.close()

    assert file.written == []
    file.go_on.set()
    writer.close()  # waits for its thread now, which would write into the log of the next test


class CountingFile(StateFile):
    """Says that it tried to write."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.tried = threading.Semaphore(0)

    def write(self, state: dict[str, Any]) -> None:
        super().write(state)
        self.tried.release()


def test_a_state_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".state").write_text("in the way")
    file = CountingFile(tmp_path)
    writer = StateWriter(file)
    for _ in range(3):
        writer.write({"accepted": 1})
        assert file.tried.acquire(timeout=20.0)
    writer.close()

    assert len(caplog.messages) == 1


def test_a_state_that_could_be_written_meanwhile_is_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / ".state"
    file = CountingFile(tmp_path)
    writer = StateWriter(file)

    def write() -> None:
        writer.write({"accepted": 1})
        assert file.tried.acquire(timeout=20.0)

    directory.write_text("in the way")
    write()
    directory.unlink()
    write()
    directory.rename(tmp_path / "aside")
    directory.write_text("in the way again")
    write()
    writer.close()

    assert len(caplog.messages) == 2
