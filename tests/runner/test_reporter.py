"""What a device tells its database: on change and once a minute, not all the time."""

import threading
from pathlib import Path

import pytest

from kegnet_client.runner import reporter as reporter_module
from kegnet_client.runner.couch import Couch
from kegnet_client.runner.reporter import Reporter
from kegnet_client.runner.shelf import Shelf

from ..support.small_couch import SmallCouch

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
