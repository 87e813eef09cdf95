"""A device's log in the database: its last `MOST_LINES` lines, or as many as its pages hold.

``MACID_log`` has the newest lines and the number of its page. One that is full is kept beside it, as
``MACID_log_0`` to ``MACID_log_48`` in turn, and a new one begins: so a line costs no more to write for all that were
there before, and neither end ever holds more than a page of them. HimbeereCouch's log was one document, without a
number; such a one is read, too.
"""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from kegnet_client.runner.couch import Couch, Document

PAGE_LINES = 1000
PAGE_BYTES = 256 * 1024
"""Of JSON, so that a page of the longest lines is no burden on the device."""
OLDER_PAGES = 49
MOST_LINES = PAGE_LINES * (OLDER_PAGES + 1)
MAX_UNTOLD_BYTES = 4 * 1024 * 1024
_ENTRY_BYTES = 50
"""What an entry takes in memory, beside its text."""

Entry = tuple[str, str, str]
"""When, which program, and what it said."""


class Untold:
    """The entries that the database does not have yet: `MOST_LINES` of them at most, and `MAX_UNTOLD_BYTES`."""

    def __init__(self) -> None:
        self._entries: deque[bytes] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, entry: Entry) -> None:
        """Take one more; the oldest ones go where that is too much."""
        data = json.dumps(entry).encode()
        self._entries.append(data)
        self._bytes += len(data) + _ENTRY_BYTES
        while len(self._entries) > MOST_LINES or self._bytes > MAX_UNTOLD_BYTES:
            self._forget_first()

    def first(self) -> list[bytes]:
        """The oldest ones, as many as a page holds."""
        found: list[bytes] = []
        size = 0
        for data in self._entries:
            size += len(data)
            if found and (len(found) == PAGE_LINES or size > PAGE_BYTES):
                break
            found.append(data)
        return found

    def forget(self, told: Sequence[bytes]) -> None:
        """The database has these, which were the oldest ones."""
        # Some may have gone meanwhile, because others came.
        for data in told:
            if self._entries and self._entries[0] is data:
                self._forget_first()

    def _forget_first(self) -> None:
        self._bytes -= len(self._entries.popleft()) + _ENTRY_BYTES


def append(couch: Couch, mac_id: int, told: Sequence[bytes]) -> None:
    """Put entries, in JSON, behind those that are there; once, also where the answer was lost the first time."""
    new = [json.loads(data) for data in told]
    name = f"{mac_id}_log"
    full: list[tuple[int, list[Any]]] = []

    def add(old: Document) -> Document | None:
        full.clear()
        page, log = _page(old), _lines(old)
        if log[-len(new) :] == new:
            return None
        if log and (len(log) + len(new) > PAGE_LINES or _size(log) + _size(new) > PAGE_BYTES):
            full.append((page or 0, log))
            return None
        return {"type": "log", "page": page or 0, "log": [*log, *new]}

    couch.update(name, add)
    for page, log in full:
        couch.replace({"_id": _older(name, page), "type": "log", "page": page, "log": log})
        couch.replace({"_id": name, "type": "log", "page": page + 1, "log": new})


class Reader:
    """Reads the log of ``device`` for an operator, who may look again."""

    def __init__(self, couch: Couch, device: str) -> None:
        self._couch = couch
        self._name = f"{device}_log"
        self._page: int | None = None
        self._shown: list[Any] = []

    def read(self) -> Iterator[Any] | None:
        """The entries that came since the last time; None where there is no log."""
        document = self._couch.get(self._name)
        return None if document is None else self._read(document)

    def _read(self, document: Document) -> Iterator[Any]:
        page, entries = _page(document), _lines(document)
        if page is not None:
            begin = max(page - OLDER_PAGES, 0) if self._page is None else self._page
            for number in range(begin, page):
                older = self._couch.get(_older(self._name, number)) or {}
                if _page(older) == number:  # else it is written over by now, or was never full
                    yield from self._news(number, _lines(older))
        yield from self._news(page, entries)

    def _news(self, page: int | None, entries: list[Any]) -> Iterator[Any]:
        """Those behind what was shown of this page, and all of another one."""
        shown = self._shown if page == self._page else []
        self._page, self._shown = page, entries
        yield from entries[_common(shown, entries) :]


def _common(shown: list[Any], entries: list[Any]) -> int:
    """How many of ``entries`` were shown: a log of so many lines may lose its first ones as others come."""
    for common in range(min(len(shown), len(entries)), 0, -1):
        if shown[-common:] == entries[:common]:
            return common
    return 0


def _older(name: str, page: int) -> str:
    return f"{name}_{page % OLDER_PAGES}"


def _page(document: Document) -> int | None:
    page = document.get("page")
    return page if isinstance(page, int) and page >= 0 else None


def _lines(document: Document) -> list[Any]:
    """Others may write there, too: of any form."""
    log = document.get("log")
    return log if isinstance(log, list) else [log] if "log" in document else []


def _size(entries: Sequence[Any]) -> int:
    return sum(len(json.dumps(one)) for one in entries)
