"""What the server has taken goes from the disk and is not sent again, though it cannot be removed; a process that dies
at any step loses nothing."""

import logging
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kegnet_client.spool.directory import Spool
from kegnet_client.spool.scan import Scanner

from .rig import Rig, Stubborn, line, messages


class TestDisk:
    def test_what_cannot_be_removed_after_its_acknowledgement_is_not_sent_again(
        self, mount_tmpfs: Callable[[str], Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        disk = mount_tmpfs("size=256k")
        spool = Spool(disk / "spool")
        spool.lock()
        rig = Rig(spool)
        for number in (1, 2):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.put("bad.pour", b"bad\n", age_s=10)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        rig.start()
        rig.idle()
        rig.pass_time(60)
        rig.pass_time(60)
        assert rig.tried() == rig.numbers() == [1, 2]
        assert rig.progress.spool_problem
        assert len(messages(caplog, logging.ERROR)) == 1
        assert sorted(Scanner(spool.fd, 10).finish().oldest) == ["1.pour", "2.pour", "bad.pour"]

        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        rig.pass_time(60)
        rig.stop()
        assert Scanner(spool.fd, 10).finish().oldest == []
        assert list(rig.rejected()) == ["bad.pour"]
        assert rig.tried() == [1, 2]
        assert rig.progress.spool_problem is None
        spool.close()

    def test_on_a_full_disk_what_is_spooled_is_still_sent_and_room_is_made(
        self, mount_tmpfs: Callable[[str], Path]
    ) -> None:
        disk = mount_tmpfs("size=64k")
        spool = Spool(disk / "spool")
        spool.lock()
        rig = Rig(spool)
        for number in (1, 2):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.put("bad.pour", b"bad\n", age_s=1000)
        with pytest.raises(OSError, match="No space left"):
            (disk / "filler").write_bytes(bytes(1 << 20))
        rig.start()
        rig.idle()
        rig.pass_time(60)
        rig.stop()

        assert rig.tried() == rig.numbers() == [1, 2]
        assert Scanner(spool.fd, 10).finish().oldest == []
        assert list(rig.rejected()) == ["bad.pour"], "what was sent has made room for the reason"
        spool.close()

    def test_one_whose_removal_fails_holds_up_nobody(self, tmp_path: Path) -> None:
        with closing(Stubborn(tmp_path / "stubborn")) as spool:
            rig = Rig(spool)
            for number, name in enumerate(("stubborn", "b", "c"), 1):
                rig.put(f"{name}.pour", line(number), age_s=100 - number)
            rig.start()
            rig.idle()
            rig.pass_time(60)
            (spool.path / "stubborn.pour").open("ab").close()  # announced again, and the same
            rig.idle()
            rig.stop()

            assert rig.tried() == rig.numbers() == [1, 2, 3]
            assert Scanner(spool.fd, 10).finish().oldest == ["stubborn.pour"]


@pytest.mark.slow
@pytest.mark.process
def test_a_process_that_dies_at_any_step_leaves_each_record_at_the_server_in_the_spool_or_rejected(
    die_at_every_step: Callable[[str], int],
) -> None:
    steps = die_at_every_step("""
import shutil
from pathlib import Path
from kegnet_client.host.clock import Clock
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.records import Pour
from kegnet_client.spool.rejected import list_rejected
from kegnet_client.delivery.progress import Progress
from kegnet_client.spool.directory import Spool, enqueue
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.spool.scan import Scanner

root = Path(sys.argv[1])
spool = Spool(root / "spool")
good, refused = (Pour(0, number, 0, 1_800_000_000_000) for number in (1, 2))
log = root / "server"

class Server:
    max_records = max_connections = 1
    advice = "check the address"

    def send(self, records, meanwhile=lambda: None):
        meanwhile()
        if records == [refused]:
            return [Verdict(Disposition.REJECTED, "refused")]
        with log.open("a") as server:  # the server stores it, and then the answer is on its way
            server.write(f"{records[0].pulses}\\n")
        return [Verdict(Disposition.ACCEPTED, "taken")]

    def close(self):
        pass

def prepare():
    log.write_text("")
    for path in spool.path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (spool.path / "bad.pour").write_bytes(b"bad\\n")
    (spool.path / "foreign").write_bytes(b"foreign")
    for record in (good, refused):
        enqueue(spool.path, record)

def work():
    Uploader(spool, Server, Clock(), lambda: 0.0, Progress()).drain()

def check(died):
    stored = log.read_text().split()
    waiting = {spool.read(name).data[:3] for name in Scanner(spool.fd, 10).finish().oldest}
    rejected = {(spool.path / "rejected" / one.name).read_bytes()[:3] for one in list_rejected(spool.path)}
    assert (b"bad" in waiting) != (b"bad" in rejected)
    assert (b"0,2" in waiting) != (b"0,2" in rejected)
    assert b"0,1" in waiting or stored == ["1"]
    assert died or not waiting
    work()
    assert Scanner(spool.fd, 10).finish().oldest == []
    assert {*log.read_text().split()} == {"1"}
    kept = list_rejected(spool.path)
    assert len(kept) == 2
    assert all(one.reason != "no reason is kept" for one in kept)
    assert (spool.path / "foreign").read_bytes() == b"foreign"

import warnings
warnings.simplefilter("ignore")
die_at_every_step(prepare, work, check)
""")

    assert steps > 40
