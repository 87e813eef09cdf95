"""What a device tells its database: on change and once a minute, not all the time."""

import threading
from functools import partial
from pathlib import Path

import pytest

from kegnet_client.runner import log_pages
from kegnet_client.runner import reporter as reporter_module
from kegnet_client.runner.couch import Couch
from kegnet_client.runner.reporter import Reporter
from kegnet_client.runner.shelf import Shelf

from ..support.small_couch import SmallCouch
from ..support.waits import wait_until

HIMBEERECOUCH_S = 2.0
"""How often it wrote a heartbeat."""


def test_a_device_at_rest_writes_nothing_and_many_changes_at_once_are_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "CHANGE_SETTLES_S", 0.0)
    couch = SmallCouch()
    couch.start()
    state = {"number": 0}
    reporter = Reporter(Couch(couch.url, "x", None), 7, Shelf(tmp_path), lambda: dict(state))
    threading.Thread(target=reporter.run, daemon=True).start()
    try:
        couch.wait_for("7_heartbeat", lambda one: one["number"] == 0)
        state["number"] = 1
        for _ in range(1000):
            reporter.changed()
        couch.wait_for("7_heartbeat", lambda one: one["number"] == 1)
        with couch.changed:
            # Those that were under way are written; then it is still.
            while couch.changed.wait(1.2 * HIMBEERECOUCH_S):
                pass
            assert len(couch.changes) < 500
    finally:
        couch.stop()
    assert reporter_module.HEARTBEAT_S >= 60


def test_a_log_goes_on_after_a_restart_and_has_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_pages, "PAGE_LINES", 3)
    monkeypatch.setattr(log_pages, "OLDER_PAGES", 1)
    couch = SmallCouch()
    couch.start()

    def said() -> list[str]:
        entries = log_pages.Reader(Couch(couch.url, "x", None), "7").read()
        return [line for _, _, line in entries or ()]

    def has(kept: list[str]) -> bool:
        return said() == kept

    try:
        for words, kept in ((["a", "b"], ["a", "b"]), (["c", "d"], list("abcd")), (list("efgh"), list("efgh"))):
            reporter = Reporter(Couch(couch.url, "x", None), 7, Shelf(tmp_path), dict)
            for word in words:
                reporter.tell("tap", word)
            threading.Thread(target=reporter.run, daemon=True).start()
            wait_until(partial(has, kept), "they are not told")
    finally:
        couch.stop()


def test_lines_that_a_database_did_not_take_are_told_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter_module, "LOG_EVERY_S", 0.0)
    couch = SmallCouch()
    couch.forbidden = {"7_log"}
    couch.start()
    reporter = Reporter(Couch(couch.url, "x", None), 7, Shelf(tmp_path), dict)
    reporter.tell("tap", "first")
    threading.Thread(target=reporter.run, daemon=True).start()
    try:
        couch.wait_for("7_heartbeat", lambda one: True)
        wait_until(lambda: reporter._problem, "it is not refused")
        couch.forbidden = set()
        reporter.tell("tap", "second")
        log = couch.wait_for("7_log", lambda one: len(one["log"]) == 2)["log"]
        assert [line for _, _, line in log] == ["first", "second"]
    finally:
        couch.stop()
