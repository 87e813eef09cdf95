"""Where rejected records are kept, and how they come back."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kegnet_client.core.errors import SpoolError
from kegnet_client.core.records import Pour
from kegnet_client.spool.directory import REJECTED, Spool, enqueue
from kegnet_client.spool.rejected import count_rejected, list_rejected, reject, retry
from kegnet_client.spool.scan import Scanner

WALL_MS = 1_800_000_000_000
WHEN = "2027-01-15T08:00:00+00:00"


def put(spool: Spool, name: str, data: bytes) -> None:
    (spool.path / name).write_bytes(data)


def reject_one(spool: Spool, name: str, data: bytes, reason: str = "bad") -> str:
    put(spool, name, data)
    target = reject(spool, spool.read(name), reason, WALL_MS)
    assert target is not None
    return target


def contents(spool: Spool) -> dict[str, bytes]:
    """Every file below the spool."""
    return {str(path.relative_to(spool.path)): path.read_bytes() for path in spool.path.rglob("*") if path.is_file()}


def test_the_bytes_are_kept_and_the_reason_stands_beside_them(spool: Spool) -> None:
    assert reject_one(spool, "x.pour", b"1,\xff\0,\r\n", "no pour") == "x.pour"

    assert contents(spool) == {
        "rejected/x.pour": b"1,\xff\0,\r\n",
        "rejected/x.pour.reason": f"{WHEN} no pour\n".encode(),
    }


def test_a_name_that_is_taken_gets_a_number_and_nothing_is_overwritten(spool: Spool) -> None:
    assert [reject_one(spool, "x.pour", data, data.decode()) for data in (b"1", b"2", b"3")] == [
        "x.pour",
        "x.pour.2",
        "x.pour.3",
    ]

    assert contents(spool) == {
        "rejected/x.pour": b"1",
        "rejected/x.pour.2": b"2",
        "rejected/x.pour.3": b"3",
        "rejected/x.pour.reason": f"{WHEN} 1\n".encode(),
        "rejected/x.pour.2.reason": f"{WHEN} 2\n".encode(),
        "rejected/x.pour.3.reason": f"{WHEN} 3\n".encode(),
    }


def test_a_file_rewritten_in_place_with_its_time_kept_is_not_rejected_for_the_old_one(spool: Spool) -> None:
    put(spool, "x.pour", b"old")
    old, changed_ns = spool.read_with_time("x.pour")
    put(spool, "x.pour", b"new")
    os.utime(spool.path / "x.pour", ns=(changed_ns, changed_ns))

    assert reject(spool, old, "bad", WALL_MS) is None
    assert contents(spool) == {"x.pour": b"new"}


def test_a_file_that_was_replaced_or_is_gone_is_not_rejected_for_the_old_one(spool: Spool) -> None:
    put(spool, "x.pour", b"old")
    old = spool.read("x.pour")
    put(spool, "new", b"new")
    (spool.path / "new").rename(spool.path / "x.pour")

    assert reject(spool, old, "bad", WALL_MS) is None
    assert contents(spool) == {"x.pour": b"new"}
    (spool.path / "x.pour").unlink()
    assert reject(spool, old, "bad", WALL_MS) is None
    assert contents(spool) == {}


@pytest.mark.parametrize("name", [b"\xff\xfe.pour", b"a\nb.reading", b"n" * 250 + b".pour", b"n" * 247 + b".reading"])
def test_every_name_can_be_rejected_and_put_back(spool: Spool, name: bytes) -> None:
    targets = [reject_one(spool, os.fsdecode(name), data) for data in (b"1", b"2")]

    assert [one.name for one in list_rejected(spool.path)] == sorted(targets)
    assert [one.reason for one in list_rejected(spool.path)] == [f"{WHEN} bad"] * 2
    back = [retry(spool.path, target) for target in targets]
    assert sorted(Scanner(spool.fd, 10).finish().oldest) == sorted(back)
    assert {spool.read(one).data for one in back} == {b"1", b"2"}


def test_a_process_that_dies_at_any_step_loses_neither_the_record_nor_its_reason(
    die_at_every_step: Callable[[str], int],
) -> None:
    steps = die_at_every_step("""
import shutil
from pathlib import Path
from kegnet_client.spool.rejected import list_rejected, reject
from kegnet_client.spool.directory import Spool

spool = Spool(Path(sys.argv[1]) / "spool")
seen = set()

def prepare():
    for path in spool.path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (spool.path / "x.pour").write_bytes(b"bad")

def work():
    reject(spool, spool.read("x.pour"), "reason", 1_800_000_000_000)

def check(died):
    kept, reasons = spool.has("x.pour"), [one.reason for one in list_rejected(spool.path)]
    seen.add((kept, len(reasons)))
    assert died or not kept
    if kept:
        assert reasons == [], "it stands in two places"
        work()
    [one] = list_rejected(spool.path)
    assert one.reason.endswith(" reason"), one
    assert (spool.path / "rejected" / one.name).read_bytes() == b"bad"

die_at_every_step(prepare, work, check)
assert seen == {(True, 0), (False, 1)}, seen
""")

    assert steps > 10


def test_a_reason_that_a_crash_left_alone_is_in_nobodys_way(spool: Spool) -> None:
    (spool.path / "rejected").mkdir()
    put(spool, "rejected/x.pour.reason", b"orphan\n")

    assert list_rejected(spool.path) == []
    assert count_rejected(spool.path) == 0
    assert reject_one(spool, "x.pour", b"bad") == "x.pour"
    assert [(one.name, one.reason) for one in list_rejected(spool.path)] == [("x.pour", f"{WHEN} bad")]


def test_rejected_records_go_nowhere_else_through_a_link(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (spool.path / "rejected").symlink_to(tmp_path / "elsewhere")
    put(spool, "x.pour", b"bad")

    with pytest.raises(OSError, match="rejected"):
        reject(spool, spool.read("x.pour"), "bad", WALL_MS)
    assert (spool.path / "x.pour").read_bytes() == b"bad"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_only_rejected_records_are_listed_and_counted(spool: Spool) -> None:
    assert list_rejected(spool.path) == []
    assert count_rejected(spool.path) == 0
    for name in ("b.pour", "a.reading", "a.reading"):
        reject_one(spool, name, b"bad")
    for name in ("README", ".x.pour", "b.pour.txt"):
        put(spool, f"rejected/{name}", b"")
    (spool.path / "rejected" / "b.pour.reason").unlink()

    assert [(one.name, one.reason) for one in list_rejected(spool.path)] == [
        ("a.reading", f"{WHEN} bad"),
        ("a.reading.2", f"{WHEN} bad"),
        ("b.pour", "no reason is kept"),
    ]
    assert count_rejected(spool.path) == 3


def test_what_cannot_be_listed_is_not_called_empty(spool: Spool) -> None:
    put(spool, "rejected", b"")
    for look in (list_rejected, count_rejected):
        with pytest.raises(SpoolError, match="Not a directory"):
            look(spool.path)


@pytest.mark.parametrize("name", ["x.pour", "x.pour.2", "x.reading", "x.reading.17"])
def test_a_retried_record_waits_again_under_a_name_of_its_own(spool: Spool, name: str) -> None:
    (spool.path / "rejected").mkdir()
    put(spool, f"rejected/{name}", b"bytes")
    put(spool, f"rejected/{name}.reason", b"why\n")
    put(spool, "x.pour", b"another")
    put(spool, "x.reading", b"another")

    back = retry(spool.path, name)

    assert back.endswith(".pour" if ".pour" in name else ".reading")
    assert contents(spool) == {back: b"bytes", "x.pour": b"another", "x.reading": b"another"}


def test_a_process_that_dies_while_it_puts_a_record_back_does_not_lose_it(
    die_at_every_step: Callable[[str], int],
) -> None:
    die_at_every_step("""
from pathlib import Path
from kegnet_client.spool.rejected import list_rejected, retry
from kegnet_client.spool.directory import Spool
from kegnet_client.spool.scan import Scanner

spool = Spool(Path(sys.argv[1]) / "spool")
(spool.path / "rejected").mkdir(exist_ok=True)

def prepare():
    for name in Scanner(spool.fd, 10).finish().oldest:
        (spool.path / name).unlink()
    (spool.path / "rejected" / "x.pour").write_bytes(b"bytes")
    (spool.path / "rejected" / "x.pour.reason").write_bytes(b"why")

def check(died):
    waiting, rejected = Scanner(spool.fd, 10).finish().oldest, list_rejected(spool.path)
    assert len(waiting) + len(rejected) == 1
    assert died or waiting
    assert all(spool.read(name).data == b"bytes" for name in waiting)
    assert all(one.reason == "why" for one in rejected)

die_at_every_step(prepare, lambda: retry(spool.path, "x.pour"), check)
""")


@pytest.mark.parametrize("name", ["y.pour", "x.pour.reason", "../x.pour", "../../key.pour", "x", "", "README"])
def test_only_a_rejected_record_can_be_retried(spool: Spool, name: str) -> None:
    reject_one(spool, "x.pour", b"bad")
    put(spool, "x.pour", b"waiting")
    put(spool, "rejected/README", b"")
    (spool.path.parent / "key.pour").touch()
    before = contents(spool)

    with pytest.raises(SpoolError, match="no rejected record has this name; see 'kegnet-client rejected list'"):
        retry(spool.path, name)
    assert contents(spool) == before


def test_a_record_can_be_rejected_and_retried_again_and_again(spool: Spool) -> None:
    name = "n" * 200 + ".pour"
    put(spool, name, b"bad")
    for _ in range(10):
        target = reject(spool, spool.read(name), "bad", WALL_MS)
        assert target is not None
        name = retry(spool.path, target)
    assert contents(spool) == {name: b"bad"}


def test_what_root_makes_the_owner_of_the_spool_can_use(spool: Spool) -> None:
    if os.geteuid() != 0:
        pytest.skip("takes root")
    os.chown(spool.path, 65534, 65533)
    (spool.path / "bad.pour").write_text("nonsense\n")
    reject(spool, spool.read("bad.pour"), "nonsense", 1_800_000_000_000)
    enqueue(spool.path, Pour(pin=0, pulses=5, elapsed_ms=100, started_ms=WALL_MS))
    for path in spool.path.rglob("*"):
        if path.name != "bad.pour":  # which stays its producer's
            assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533), path


@pytest.mark.parametrize("again", [True, False], ids=["replaced", "removed"])
def test_what_a_producer_does_while_the_reason_is_written_is_not_undone(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    (spool.path / REJECTED).mkdir()
    put(spool, "x.pour", b"bad")
    bad = spool.read("x.pour")
    sync = os.fsync

    def sync_slowly(fd: int) -> None:
        if again:
            put(spool, "new", b"good")
            (spool.path / "new").rename(spool.path / "x.pour")
        else:
            (spool.path / "x.pour").unlink(missing_ok=True)
        sync(fd)

    monkeypatch.setattr(os, "fsync", sync_slowly)

    assert reject(spool, bad, "bad", WALL_MS) is None
    assert contents(spool) == ({"x.pour": b"good"} if again else {})
