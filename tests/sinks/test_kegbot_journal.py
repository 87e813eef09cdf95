"""What a journal of posts keeps over the years: everything that may still make a second drink."""

from pathlib import Path

from kegnet_client.sinks.kegbot_journal import KEPT_AT_MOST_MS, Journal

from ..support.clock import FakeClock

SETTLED, IN_DOUBT, MAYBE_TWICE = 1, 2, 3


def test_a_post_in_doubt_is_known_however_long_the_device_was_off(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = Journal(tmp_path / "journal", clock)
    for nonce in (SETTLED, IN_DOUBT, MAYBE_TWICE):
        journal.begin(nonce, 17)
    journal.begin(MAYBE_TWICE, 17)
    journal.settle(MAYBE_TWICE, 19)
    journal.settle(SETTLED, 18)
    journal.close()

    clock.now_ms += KEPT_AT_MOST_MS + 1
    journal = Journal(tmp_path / "journal", clock)
    assert set(journal.entries) == {IN_DOUBT, MAYBE_TWICE}
    journal.close()
