"""When the daemon tells systemd that it is alive."""

from types import SimpleNamespace

import pytest

from kegnet_client.commands.run import Daemon
from kegnet_client.config.settings import Config

from ..support.clock import FakeClock

WATCHDOG_S = 150.0


def _no_config() -> Config:
    raise AssertionError("nothing is read before it runs")


@pytest.mark.case(154)
def test_after_a_suspend_it_is_known_to_be_alive_before_the_watchdogs_time_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The watchdog's clock stands still while the machine is suspended, and the one for intervals goes on."""
    daemon, clock = Daemon(_no_config, {}), FakeClock()
    fed_s: list[float] = []
    engine = SimpleNamespace(alive_at_s=clock.now_s, nudge=lambda: None)
    monkeypatch.setattr(daemon, "clock", clock)
    monkeypatch.setattr(
        daemon, "_supervisor", SimpleNamespace(watchdog_s=WATCHDOG_S, alive=lambda: fed_s.append(clock.now_s))
    )
    monkeypatch.setattr(daemon, "_engine", engine, raising=False)

    first_s = daemon._feed_watchdog()
    assert fed_s == [clock.now_s]
    assert first_s is not None
    clock.now_s += 36_000
    awake_s = first_s
    clock.now_s += first_s
    again_s = daemon._feed_watchdog()
    assert again_s is not None
    engine.alive_at_s = clock.now_s + 0.1  # it was woken
    clock.now_s += again_s
    awake_s += again_s
    daemon._feed_watchdog()
    assert len(fed_s) == 2
    assert awake_s < 0.9 * WATCHDOG_S
