"""How much strangers can write into the log."""

import logging
from collections.abc import Callable, Iterator

import pytest

from kegnet_client.hub.log_rate import LINES, LOGGERS, NOT_HTTP, PERIOD_S, REFUSED, LogRate

from ..support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rate(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogRate]:
    """One that the libraries' lines pass through; the session's hub has its own."""
    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
    rate = LogRate(clock.monotonic_s)
    rate.attach()
    yield rate
    rate.detach()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines so far."""
    return lambda: [record.getMessage() for record in caplog.records]


def test_each_kind_has_its_lines_a_minute_whatever_the_others_do(rate: LogRate) -> None:
    assert sum(rate.allows(NOT_HTTP) for _ in range(1000)) == LINES[NOT_HTTP]
    assert sum(rate.allows(REFUSED) for _ in range(1000)) == LINES[REFUSED]


def test_the_rest_is_summed_up_in_one_line_a_minute(
    rate: LogRate, clock: FakeClock, said: Callable[[], list[str]]
) -> None:
    for _ in range(3):
        for kind in (NOT_HTTP, REFUSED):
            for _ in range(LINES[kind] + 7):
                rate.allows(kind)
        clock.now_s += PERIOD_S - 1
        rate.sum_up_when_due()
        clock.now_s += 1
        rate.sum_up_when_due()
    assert said() == [f"not told one by one in the last minute: 7 {NOT_HTTP}, 7 {REFUSED}"] * 3


def test_a_quiet_minute_says_nothing(rate: LogRate, clock: FakeClock, said: Callable[[], list[str]]) -> None:
    rate.allows(REFUSED)
    clock.now_s += PERIOD_S
    rate.sum_up_when_due()
    assert said() == []


@pytest.mark.parametrize("name", LOGGERS)
def test_the_lines_of_libraries_pass_here_too(rate: LogRate, name: str, said: Callable[[], list[str]]) -> None:
    logger = logging.getLogger(name)
    for _ in range(100):
        logger.warning("strange")
    assert len(said()) == LINES[LOGGERS[name]]
    rate.detach()
    logger.warning("strange")
    assert len(said()) == LINES[LOGGERS[name]] + 1
