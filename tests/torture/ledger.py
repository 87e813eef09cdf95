"""The books: what was dropped into the spool, and whether all of it is where it belongs.

A file whose record the server never refused has to be a row there, once, and gone from the spool. Any other
stands in ``rejected/`` byte for byte with its reason. What is not a record's stays as it was.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from server import Server

NUMBER = re.compile(r"\.[0-9]+$")
QUEUED = re.compile(r"^\.queue/kegnet/rejected/[0-9a-f]{16}-")
"""What stands before a file's name where KegNet's queue has it rejected."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file that was put into the spool; ``identity`` is its record's, None where it holds none."""

    name: str
    data: bytes
    identity: str | None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file that is none of the program's business."""

    data: bytes
    inode: int
    mtime_ns: int


def identify(device: str, version: str, record: str) -> str:
    """What identifies the ``record`` (a canonical spool line) at the server: REST v2 knows no sensors."""
    if "-" in record.partition(",")[0] and version == "v2":
        record = record.partition(",")[2]
    return f"{device},{record}"


@dataclass(slots=True)
class Ledger:
    """``was_killed`` allows what a kill may leave: a reason without a record, a temporary file in ``rejected/``.

    Where the device ``fans_out`` to KegNet and Kegbot, what KegNet refused stands in the ``rejected/`` of its queue.
    """

    spool: Path
    dropped: list[Dropped] = field(default_factory=list)
    foreign: dict[str, Foreign] = field(default_factory=dict)
    was_killed: bool = False
    fans_out: bool = False
    replaced: set[str] = field(default_factory=set)
    """The records that their producer wrote over, perhaps before they were sent."""

    def add(self, name: str, data: bytes, identity: str | None) -> None:
        self.dropped.append(Dropped(name, data, identity))

    def add_foreign(self, name: str) -> None:
        path = self.spool / name
        status = path.stat()
        self.foreign[name] = Foreign(path.read_bytes(), status.st_ino, status.st_mtime_ns)

    def faults(self, server: Server) -> list[str]:
        """What is not as it should be, once the spool is quiet; nothing is well."""
        return [
            *self._leftovers(),
            *self._foreign_faults(),
            *self._reason_faults(),
            *self._record_faults(server),
        ]

    def _leftovers(self) -> list[str]:
        names, known = {path.name for path in self.spool.iterdir()}, {"rejected", *self.foreign}
        if self.fans_out:
            known |= {".queue", ".kegbot"}
            names |= {str(path.relative_to(self.spool)) for path in self.spool.glob(".queue/*/*")}
            known.add(".queue/kegnet/rejected")
        return [f"{name!r} is still in the spool" for name in sorted(names - known)]

    def _foreign_faults(self) -> list[str]:
        faults = []
        for name, was in self.foreign.items():
            path = self.spool / name
            if not path.exists():
                faults.append(f"{name!r} is nobody's record and is gone")
                continue
            status = path.stat()
            if (path.read_bytes(), status.st_ino, status.st_mtime_ns) != (was.data, was.inode, was.mtime_ns):
                faults.append(f"{name!r} is nobody's record and was changed")
        return faults

    def _rejected(self) -> dict[str, bytes]:
        """What was rejected, by its path from the spool."""
        paths = sorted(self.spool.glob("rejected/*")) + sorted(self.spool.glob(".queue/*/rejected/*"))
        return {str(path.relative_to(self.spool)): path.read_bytes() for path in paths}

    def _reason_faults(self) -> list[str]:
        faults, there = [], self._rejected()
        for name, data in there.items():
            if name.endswith(".reason"):
                if not data.strip() or not data.endswith(b"\n"):
                    faults.append(f"{name!r} gives no whole reason: {data[:80]!r}")
                if name.removesuffix(".reason") not in there and not self.was_killed:
                    faults.append(f"{name!r} is a reason without its record")
            elif "/." in name.removeprefix("."):
                if not self.was_killed:
                    faults.append(f"{name!r} was left behind")
            elif f"{name}.reason" not in there:
                faults.append(f"{name!r} has no reason beside it")
        return faults

    def _record_faults(self, server: Server) -> list[str]:
        kept = Counter(
            (NUMBER.sub("", QUEUED.sub("", name).removeprefix("rejected/")), data)
            for name, data in self._rejected().items()
            if not name.endswith(".reason") and "/." not in name.removeprefix(".")
        )
        drops = Counter((one.name, one.data) for one in self.dropped)
        faults = [
            f"rejected/ holds {data[:80]!r} as {name!r}, which nobody dropped so"
            for name, data in kept.keys() - drops.keys()
        ]
        for one in dict.fromkeys(self.dropped):
            aside, dropped = kept[one.name, one.data], drops[one.name, one.data]
            what = f"{one.name!r} ({one.data[:80]!r})"
            stored = one.identity is not None and one.identity in server.rows
            if aside > dropped:
                faults.append(f"{what} stands {aside} times in rejected/, it was dropped {dropped} times")
            elif aside < dropped and not stored and one.identity not in self.replaced:
                faults.append(f"{what} is lost: {dropped} dropped, {aside} rejected, none at the server")
            elif aside and one.identity is not None and one.identity not in server.refused:
                faults.append(f"{what} is in rejected/ and was never refused")
        known = {one.identity for one in self.dropped}
        faults += [f"the server has {row!r}, which nobody dropped" for row in server.rows if row not in known]
        return faults
