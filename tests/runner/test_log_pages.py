"""A device's log in the database: its last fifty thousand lines, and neither end holds more than a page of them."""

import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from kegnet_client.core.errors import TransportError
from kegnet_client.runner import log_pages
from kegnet_client.runner.couch import Couch
from kegnet_client.runner.log_pages import MAX_UNTOLD_BYTES, MOST_LINES, PAGE_BYTES, Reader, Untold, append

from ..support.small_couch import SmallCouch

MIB = 1024 * 1024


class LosingCouch(Couch):
    """Loses the answer to each write, the first time."""

    loses = True

    def put(self, identifier: str, body: Mapping[str, Any]) -> bool:
        done = super().put(identifier, body)
        self.loses = not self.loses
        if not self.loses:
            raise TransportError("no answer")
        return done


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_pages, "PAGE_LINES", 3)
    monkeypatch.setattr(log_pages, "OLDER_PAGES", 2)


def connect(couch: SmallCouch) -> Couch:
    return Couch(couch.url, "x", None)


def tell(couch: Couch, lines: Sequence[str]) -> None:
    untold = Untold()
    for line in lines:
        untold.add(("t", "tap", line))
    while told := untold.first():
        append(couch, 7, told)
        untold.forget(told)


def read(reader: Reader) -> list[str]:
    return [line for _, _, line in reader.read() or ()]


@pytest.mark.slow
def test_the_last_fifty_thousand_lines_are_there(couch: SmallCouch) -> None:
    lines = [f"line {number}" for number in range(MOST_LINES + 1500)]
    tell(connect(couch), lines[:1500])
    tell(connect(couch), lines[1500:])
    assert MOST_LINES == 50_000
    assert read(Reader(connect(couch), "7")) == lines[-MOST_LINES:]


@pytest.mark.usefixtures("few")
def test_pages_are_written_over_in_turn_and_read_in_their_order(couch: SmallCouch) -> None:
    for line in "abcdefghijk":
        tell(connect(couch), [line])
    assert read(Reader(connect(couch), "7")) == list("defghijk")
    assert {one for _, one in couch.changes} == {"7_log", "7_log_0", "7_log_1"}


@pytest.mark.usefixtures("few")
def test_who_follows_gets_each_line_once_also_those_that_went_to_an_older_page(couch: SmallCouch) -> None:
    reader = Reader(connect(couch), "7")
    assert reader.read() is None
    tell(connect(couch), ["a", "b"])
    assert read(reader) == ["a", "b"]
    assert read(reader) == []
    for line in "cdefg":
        tell(connect(couch), [line])
    assert read(reader) == list("cdefg")


@pytest.mark.usefixtures("few")
def test_a_line_is_there_once_though_each_answer_is_lost(couch: SmallCouch) -> None:
    losing = LosingCouch(couch.url, "x", None)
    for line in "abcdefg":
        for _ in range(10):
            try:
                tell(losing, [line])
                break
            except TransportError:
                continue
    assert read(Reader(connect(couch), "7")) == list("abcdefg")


def test_a_log_of_an_earlier_form_is_kept_as_the_first_page(couch: SmallCouch) -> None:
    couch.put({"_id": "7_log", "log": [["t", "tap", f"{number}"] for number in range(log_pages.PAGE_LINES)]})
    tell(connect(couch), ["new"])
    assert read(Reader(connect(couch), "7"))[-2:] == [f"{log_pages.PAGE_LINES - 1}", "new"]


def test_what_waits_for_the_database_and_what_is_sent_at_once_have_their_bounds() -> None:
    untold = Untold()
    tracemalloc.start()
    try:
        for number in range(MOST_LINES + 1):
            untold.add(("2026-11-28T12:00:00+00:00", "tap", f"{number:02000}"))
        assert tracemalloc.get_traced_memory()[0] < MAX_UNTOLD_BYTES + MIB
    finally:
        tracemalloc.stop()
    assert sum(map(len, untold.first())) <= PAGE_BYTES
    assert untold
