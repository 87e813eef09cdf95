"""What lasts is said when it begins and when it ends."""

import logging

import pytest

from kegnet_client.host.condition import Condition

log = logging.getLogger("kegnet_client.test")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def test_what_lasts_has_one_line_at_its_beginning_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    condition = Condition(log)
    for _ in range(3):
        condition.begin("the disk is full", "the disk is full; make room")
    assert condition.text == "the disk is full"
    for _ in range(3):
        condition.end("there is room again")

    assert condition.text is None
    assert lines(caplog) == [(logging.WARNING, "the disk is full; make room"), (logging.INFO, "there is room again")]


def test_another_key_is_another_line_and_the_same_key_is_none(caplog: pytest.LogCaptureFixture) -> None:
    condition = Condition(log)
    condition.begin("answered 401, try 1", key=401)
    condition.begin("answered 401, try 2", key=401)
    condition.begin("answered 404", key=404, level=logging.ERROR)

    assert lines(caplog) == [(logging.WARNING, "answered 401, try 1"), (logging.ERROR, "answered 404")]
    assert condition.text == "answered 404"


def test_the_text_is_of_now_though_the_line_was_said_before(caplog: pytest.LogCaptureFixture) -> None:
    condition = Condition(log)
    condition.begin("the clock stands in 1970")
    condition.begin("the clock is not synchronised yet")

    assert condition.text == "the clock is not synchronised yet"
    assert lines(caplog) == [(logging.WARNING, "the clock stands in 1970")]


def test_what_was_never_wrong_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Condition(log).end("it is right again")

    assert lines(caplog) == []
