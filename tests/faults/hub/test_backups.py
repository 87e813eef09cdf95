"""A backup while eight devices send, restored elsewhere; killed or without room, it is whole or not there."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ...support.program import COMMAND
from ..versions import slowly
from .hub_process import Hub
from .signed_request import Request

MountExt4 = Callable[[Path, int], Path]
FillUp = Callable[[Path], None]
DEVICES = 8


class Senders:
    """Eight devices that send one pour after another, until told to end; what was acknowledged when."""

    def __init__(self, hub: Hub, key: rsa.RSAPrivateKey, devices: list[str]) -> None:
        self.acknowledged: list[tuple[float, str, int]] = []
        self.statuses: set[int] = set()
        self.took_s: list[float] = []
        self._end = threading.Event()
        self._hub, self._key = hub, key
        self._pool = ThreadPoolExecutor(DEVICES)
        self._done = [self._pool.submit(self._send, device) for device in devices]

    def _send(self, device: str) -> None:
        with self._hub.client() as client:
            for pulses in range(1, 100_000):
                if self._end.is_set():
                    return
                request = Request("v3", device, self._key, [pulses])
                begun = time.monotonic()
                answer = client.post(request.path, content=request.body, headers=request.headers)
                self.statuses.add(answer.status_code)
                now = time.monotonic()
                self.took_s.append(now - begun)
                if answer.status_code == 200:
                    self.acknowledged.append((now, device, pulses))

    def wait_for_more(self, count: int) -> None:
        last = len(self.acknowledged) + count
        deadline = time.monotonic() + 60
        while len(self.acknowledged) < last:
            assert time.monotonic() < deadline, self.statuses
            time.sleep(0.005)

    def end(self) -> None:
        self._end.set()
        for one in self._done:
            one.result(30)
        self._pool.shutdown()


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [COMMAND, "hub", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def restored(hub: Hub, saved: Path, directory: Path) -> Hub:
    """``hub`` again, as it was in ``saved``, in ``directory``, at the same port."""
    done = run("restore", saved, "--dir", directory)
    assert done.returncode == 0, done.stderr
    hub.directory = directory
    hub.start(port=str(hub.port))
    return hub


@pytest.mark.case(78)
@pytest.mark.parametrize("count", [1, *slowly(3)])
def test_a_backup_while_eight_devices_send_has_all_that_was_acknowledged_before_and_they_go_on(
    hub: Hub, key: rsa.RSAPrivateKey, tmp_path: Path, count: int
) -> None:
    devices = hub.register(*[key] * DEVICES)
    senders = Senders(hub, key, devices)
    saved = []
    try:
        senders.wait_for_more(100)
        for number in range(count):
            begun = time.monotonic()
            saved.append(tmp_path / f"saved{number}")
            done = run("backup", saved[-1], "--dir", hub.directory)
            assert done.returncode == 0, done.stderr
            senders.wait_for_more(50)
    finally:
        senders.end()
    assert senders.statuses == {200}, "the backup held up a device"
    assert hub.program.stop()[0] == 0
    restored(hub, saved[-1], tmp_path / "new")
    for device in devices:
        there = set(hub.pours(device))
        assert {pulses for when, one, pulses in senders.acknowledged if one == device and when < begun} <= there
        assert there <= set(range(1, max(there) + 1))
        assert hub.send(Request("v3", device, key, [200_000])).status_code == 200
    assert "Every record verifies" in hub.command("verify")


@pytest.mark.case(79)
@pytest.mark.parametrize("step", [r"hub\.db", *slowly("whole", "saved")])
def test_a_backup_that_is_killed_is_not_there_and_the_next_one_is_whole(hub: Hub, tmp_path: Path, step: str) -> None:
    place = tmp_path / "backups"
    place.mkdir()
    saved = place / "saved"
    _kill_at(["backup", saved, "--dir", hub.directory], step)
    if saved.exists():
        assert run("restore", saved, "--dir", tmp_path / "first").returncode == 0
        saved.unlink()
    assert run("backup", saved, "--dir", hub.directory).returncode == 0
    assert [path.name for path in place.iterdir()] == ["saved"]
    assert run("restore", saved, "--dir", tmp_path / "new").returncode == 0


@pytest.mark.case(79)
@pytest.mark.parametrize("step", [r"hub\.db", *slowly("ca.key", "link.*token", "rename.*ca.crt")])
def test_a_restore_that_is_killed_is_no_hub_and_can_be_run_again(hub: Hub, tmp_path: Path, step: str) -> None:
    saved, new = tmp_path / "saved", tmp_path / "new"
    assert run("backup", saved, "--dir", hub.directory).returncode == 0
    _kill_at(["restore", saved, "--dir", new], step)
    if not (new / "ca.crt").exists():
        assert run("check", "--dir", new).returncode == 78
        assert run("restore", saved, "--dir", new).returncode == 0
    assert hub.program.stop()[0] == 0
    hub.directory = new
    hub.start()


def _kill_at(arguments: list[str | Path], step: str) -> None:
    """Kill the command at the first event of its audit that names ``step``, before it is done."""
    program = (
        "import os, re, signal, sys\n"
        "from kegnet_client.cli import main\n"
        "def hook(event, args):\n"
        "    if event in ('open', 'sqlite3.connect', 'os.link', 'os.rename', 'os.remove'):\n"
        "        text = f'{event} {args}'\n"
        f"        if re.search({step!r}, text) and re.search('kegnet-hub-backup|\\.init', text):\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    python = Path(COMMAND).parent / "python"
    done = subprocess.run([python, "-c", program, "hub", *arguments], capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.case(80)
def test_without_room_there_is_no_backup_and_no_hub_and_nothing_is_left(
    hub: Hub, tmp_path: Path, mount_ext4: MountExt4, fill_up: FillUp
) -> None:
    saved = tmp_path / "saved"
    assert run("backup", saved, "--dir", hub.directory).returncode == 0
    disk = mount_ext4(tmp_path / "disk", 8)
    fill_up(disk / "filler")
    os.truncate(disk / "filler", (disk / "filler").stat().st_size - 100_000)
    before = sorted(path.name for path in disk.iterdir())
    for command, file, directory in (("backup", disk / "saved", hub.directory), ("restore", saved, disk / "new")):
        done = run(command, file, "--dir", directory)
        assert done.returncode in (75, 78), done.stderr
        assert re.search("full|No space", done.stderr)
        assert sorted(path.name for path in disk.iterdir()) == before
