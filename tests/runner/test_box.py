"""The box, from inside: what a module has there, and what one that wants out does not get."""

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.runner.box import Boxes
from kegnet_client.runner.statement import Permissions

from ..support.waits import WAIT_S, wait_until

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.process


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "runner/state/mine").mkdir(parents=True)
    (tmp_path / "runner/state/other").mkdir()
    (tmp_path / "runner/state/other/secret").write_text("other")
    (tmp_path / "runner/password").write_text("secret")
    (tmp_path / "root/conf").mkdir(parents=True)
    (tmp_path / "root/conf/privkey.pem").write_text("key")
    (tmp_path / "root/spool").mkdir()
    return tmp_path / "runner/state/mine"


@pytest.fixture
def run(tmp_path: Path, state: Path) -> Run:
    """Runs a program's modules in a box and gives its output once it has ended, told to quit at the start if at all."""
    boxes = Boxes((tmp_path / "root", tmp_path / "runner"), tmp_path / "root/spool")

    def run(
        code: str, modules: Mapping[str, str] | None = None, *, quits: bool = False, **permissions: Any
    ) -> "subprocess.CompletedProcess[str]":
        box = boxes.start({"main": code, **(modules or {})}, (), Permissions(**permissions), state)
        process = box.process
        assert process.stdin is not None
        if quits:
            process.stdin.close()
            process.stdin = None
        out, _ = process.communicate(timeout=WAIT_S)
        box.close()
        return subprocess.CompletedProcess([], process.returncode, out.decode())

    return run


def try_all(*attempts: str) -> str:
    """A program that tries each and tells what it got."""
    body = "\n".join(
        f"    try: log(repr({attempt}))\n    except BaseException as error: log(type(error).__name__)"
        for attempt in attempts
    )
    return f"import os, pathlib, socket, subprocess\ndef main():\n{body}\n"


# --- what a module has ------------------------------------------------------------------------------------------


def test_main_runs_with_what_is_given_from_the_first_line_on(run: Run) -> None:
    code = "log('%s at %d', 'top', 1)\nfrom kegnet_module import log as same\n"
    done = run(f"{code}def main(): same(type(should_quit()).__name__)")
    assert (done.stdout, done.returncode) == ("top at 1\nbool\n", 0)


def test_modules_import_each_other_in_circles(run: Run) -> None:
    modules = {"a": "import b\nlog('a')\nname = 'a'", "b": "import a\nlog('b')\ndef say(): return a.name"}
    done = run("import a, b\ndef main(): log(b.say())", modules)
    assert done.stdout == "b\na\na\n"


def test_a_module_hides_none_of_the_standard_library(run: Run) -> None:
    assert run("import json\ndef main(): log(json.dumps([1]))", {"json": "nonsense("}).stdout == "[1]\n"


def test_quitting_is_asked_and_told(run: Run) -> None:
    code = """
import threading
told = threading.Event()
register_quit_notification(told.set)
def main():
    told.wait(20)
    log("%s %s", told.is_set(), should_quit())
"""
    assert run(code, quits=True).stdout == "True True\n"


def test_a_failure_is_told_with_its_line(run: Run) -> None:
    done = run("def main():\n    raise RuntimeError('no keg')")
    assert done.returncode == 1
    assert "raise RuntimeError('no keg')" in done.stdout
    assert 'File "<main>", line 2, in main' in done.stdout


def test_a_producer_may_use_this_package(run: Run, tmp_path: Path) -> None:
    code = """
import os, pathlib
from kegnet_client.core.records import make_pour
from kegnet_client.spool.directory import enqueue
def main():
    enqueue(pathlib.Path(os.environ["KEGNET_SPOOL"]), make_pour(0, 586, 8123, 1800000000000))
"""
    assert run(code, spool=True).stdout == ""
    assert [path.suffix for path in (tmp_path / "root/spool").iterdir()] == [".pour"]


def test_the_state_directory_stays(run: Run, state: Path) -> None:
    run("import os, pathlib\ndef main(): pathlib.Path(os.environ['KEGNET_STATE'], 'count').write_text('1')")
    assert (state / "count").read_text() == "1"


# --- what it does not get ---------------------------------------------------------------------------------------


@pytest.mark.case(115)
def test_key_credentials_and_the_state_of_others_are_not_there(run: Run, tmp_path: Path) -> None:
    paths = ["root/conf/privkey.pem", "runner/password", "runner/state/other/secret", "root/spool"]
    done = run(try_all(*(f"os.stat('{tmp_path / path}')" for path in paths)))
    assert done.stdout == "FileNotFoundError\n" * len(paths)


def test_what_hangs_under_usr_is_hidden_too(tmp_path: Path, state: Path) -> None:
    boxes = Boxes((Path("/usr/share/doc"),), tmp_path)
    box = boxes.start({"main": try_all("os.listdir('/usr/share/doc')")}, (), Permissions(), state)
    assert box.process.communicate(timeout=WAIT_S)[0] == b"[]\n"


@pytest.mark.case(115)
def test_nothing_is_written_but_its_state_and_a_tmp_of_its_own(run: Run, state: Path) -> None:
    places = ["/usr/mine", "/etc/mine", "/mine", "/dev/mine", "/run/mine", "/run/kegnet/job.json", "/var/lib/mine"]
    done = run(try_all(*(f"open('{place}', 'w')" for place in places), "open('/tmp/mine', 'w').write('x')"))
    assert done.stdout == "OSError\n" * len(places) + "1\n"
    assert list(state.iterdir()) == []


@pytest.mark.case(115)
def test_there_is_no_network_without_its_permission(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        attempt = try_all(f"socket.create_connection({server.getsockname()!r}, 5).getpeername()[0]")
        assert run(attempt).stdout == "ConnectionRefusedError\n"
        assert run(attempt, network=True).stdout == "'127.0.0.1'\n"


@pytest.mark.case(115)
def test_a_device_is_there_only_for_whom_it_was_granted(run: Run) -> None:
    attempt = try_all("os.stat('/dev/kmsg').st_rdev > 0")
    assert run(attempt).stdout == "FileNotFoundError\n"
    assert run(attempt, devices=("/dev/kmsg",)).stdout == "True\n"


@pytest.mark.case(115)
def test_it_sees_no_process_but_its_own_and_has_no_privilege(run: Run) -> None:
    done = run(
        try_all(
            "sorted(int(one) for one in os.listdir('/proc') if one.isdecimal())[0]",
            "len([one for one in os.listdir('/proc') if one.isdecimal()]) < 5",
            "[line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapEff', 'NoNewPrivs'))]",
            "subprocess.run(['unshare', '-U', 'true'], stderr=subprocess.DEVNULL).returncode != 0",
            "os.environ.get('KEGNET_SPOOL')",
        )
    )
    assert done.stdout.splitlines() == ["1", "True", "['0000000000000000', '1']", "True", "None"]


@pytest.mark.case(116)
def test_memory_and_files_have_their_bounds(run: Run, state: Path) -> None:
    done = run(
        try_all(
            "len(bytearray(200 * 2**20))",
            "open('/tmp/big', 'wb').write(bytes(20 * 2**20))",
            "open('/dev/shm/big', 'wb').write(bytes(2 * 2**20))",
            "os.truncate(os.open('sparse', os.O_RDWR | os.O_CREAT), 65 * 2**20)",
            "[os.dup(0) for _ in range(1000)]",
        )
    )
    assert done.stdout == "MemoryError\n" + "OSError\n" * 4


def test_a_command_is_run_without_a_shell_in_a_box_of_its_own(tmp_path: Path) -> None:
    boxes = Boxes((tmp_path,), tmp_path)
    box = boxes.start({}, ("echo", "$HOME; id"), Permissions(), None)
    assert box.process.communicate(timeout=WAIT_S) == (b"$HOME; id\n", b"")


def test_a_command_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    box = Boxes((tmp_path,), tmp_path).start({}, ("/no/such/program",), Permissions(), None)
    out, err = box.process.communicate(timeout=WAIT_S)
    assert (out, box.process.returncode) == (b"", 127)
    assert b"FileNotFoundError" in err


def running(argument: str) -> list[str]:
    """The processes that were called with it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if argument.encode() in (place / "cmdline").read_bytes().split(b"\0"):
                found.append(place.name)
    return found


@pytest.mark.case(118)
@pytest.mark.parametrize("wait_ms", range(0, 100, 4))
def test_a_box_that_is_killed_while_it_starts_leaves_nothing(wait_ms: int, tmp_path: Path) -> None:
    box = Boxes((tmp_path,), tmp_path).start(
        {}, ("sleep", seconds := f"60.{os.getpid()}{wait_ms:03}"), Permissions(), None
    )
    time.sleep(wait_ms / 1000)
    box.kill()
    box.process.communicate(timeout=WAIT_S)
    time.sleep(0.5)  # for as long as one that was left would take to become the command
    wait_until(lambda: running(seconds) == [], "the command goes on without its box")


def test_what_a_job_says_is_whole_whatever_is_in_it(run: Run) -> None:
    text = "é\u2028\0" * 50_000
    assert run(f"TEXT = {json.dumps(text)}\ndef main(): log(len(TEXT))").stdout == f"{len(text)}\n"
