"""The runner where there is no systemd: by the init script and by the example for supervisord, as they are shipped.

Only paths and the user are other ones here.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ..support.small_couch import SmallCouch
from ..support.users import NOBODY, find_modules, find_python
from ..support.waits import WAIT_S, wait_until

SERVICE = Path(__file__).parents[2] / "service"
PROGRAM = "/usr/share/kegnet-client/bin/kegnet-client"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another user")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that another user may enter, which pytest's are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def program(place: Path, couch: SmallCouch) -> Path:
    """``kegnet-client`` with a root of its own, whose runner asks ``couch``."""
    python = find_python(NOBODY, variables := find_modules())
    if python is None:
        pytest.skip("another user has no Python with the libraries of this one")
    (place / "root/conf").mkdir(parents=True)
    (place / "root/conf/client.conf").write_text(
        f"[KegNet]\nuuid = {uuid.uuid4()}\nserviceBaseURL = https://hub.example/rest/v3\n"
        f"[Runner]\nurl = {couch.url}\ndirectory = {place}/state\nmacId = 7\n"
    )
    (place / "state").mkdir(mode=0o700)
    os.chown(place / "state", NOBODY["user"], NOBODY["group"])
    program = place / "kegnet-client"
    exports = "".join(f"export {name}={value}\n" for name, value in variables.items())
    program.write_text(f'#!/bin/sh\n{exports}exec {python} -m kegnet_client.cli "$@" --root {place}/root\n')
    program.chmod(0o755)
    return program


def adapt(file: str, **others: str) -> str:
    """The shipped ``file`` with other words for some of its own."""
    text = (SERVICE / file).read_text()
    for word, other in others.items():
        assert word in text
        text = text.replace(word, other)
    return text


def test_the_init_script_starts_restarts_and_stops_it(place: Path, program: Path, couch: SmallCouch) -> None:
    if shutil.which("start-stop-daemon") is None:
        pytest.skip("takes Debian's start-stop-daemon")
    script, pid_file = place / "script", place / "pid"
    script.write_text(
        adapt(
            "kegnet-runner.init",
            **{
                PROGRAM: str(program),
                "/run/kegnet-runner.pid": str(pid_file),
                "/var/lib/kegnet-runner": f"{place}/state",
                "--chuid kegnet-runner": "--chuid nobody:nogroup",
                "-o kegnet-runner -g kegnet-runner": "-o nobody -g nogroup",
            },
        )
    )

    script.chmod(0o755)

    def call(word: str) -> int:
        return subprocess.run([script, word], capture_output=True, timeout=WAIT_S, check=False).returncode

    def has_asked(times: int) -> bool:
        return len(couch.feeds) == times

    assert call("status") != 0
    try:
        for word, feeds in (("start", 1), ("restart", 2)):
            assert call(word) == 0
            wait_until(partial(has_asked, feeds), "it does not ask the database")
            assert call("status") == 0
            pid = pid_file.read_text()
            assert Path(f"/proc/{pid.strip()}").stat().st_uid == NOBODY["user"]
            assert call("start") == 0
            assert pid_file.read_text() == pid, "a second start is a second runner"
    finally:
        assert call("stop") == 0
    assert call("status") != 0
    assert not Path(f"/proc/{pid.strip()}").exists()
    assert call("frobnicate") == 64


def test_supervisord_starts_it_by_the_example_and_ends_it_well(place: Path, program: Path, couch: SmallCouch) -> None:
    pytest.importorskip("supervisor")
    example = adapt("kegnet-runner.supervisord.conf", **{PROGRAM: str(program), "user=kegnet-runner": "user=nobody"})
    conf = place / "supervisord.conf"
    conf.write_text(
        f"[supervisord]\nnodaemon=true\nuser=root\nlogfile={place}/log\npidfile={place}/pid\nchildlogdir={place}\n\n"
        + example
    )
    command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(conf)]
    supervisor = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=place)
    try:
        wait_until(lambda: couch.feeds, "it does not ask the database")
    finally:
        supervisor.terminate()
        supervisor.wait(WAIT_S)
    (said,) = (path.read_text() for path in place.glob("kegnet-runner-stderr*"))
    assert "the runner stopped" in said
    assert "stopped: kegnet-runner (exit status 0)" in (place / "log").read_text()
