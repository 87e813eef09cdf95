"""A pour that became two drinks at a Kegbot of 1.x: one stays, whatever keeps the other from being cancelled."""

import logging
from pathlib import Path

import pytest

from kegnet_client.core.records import Heartbeat, Pour
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire.answer import Answer
from kegnet_client.sinks.kegbot import DOUBT_S, SWEEP_S
from kegnet_client.sinks.kegbot_journal import DEADLINE_S

from .kegbot_rig import POUR, Rig, lose_answer

ACCEPTED, DEFERRED = Disposition.ACCEPTED, Disposition.DEFERRED
WATCHDOG_S = 150
"""The unit's: who sends for longer is taken for hung, and all sinks end with him."""
OTHER = Pour(1, 200, 3000, POUR.started_ms + 60_000)


def make_two(rig: Rig) -> int:
    """Two drinks of one pour, because the server stored late; the higher id."""
    lose_answer(rig, "later", 300)
    rig.clock.now_s += DOUBT_S
    assert rig.send(POUR).disposition is ACCEPTED
    rig.clock.now_s += 300
    rig.send(Heartbeat(0))
    assert len(rig.drinks_of(POUR)) == 2
    return max(rig.model.drinks)


def refuse_to_cancel(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = rig.model.handle

    def refuse(method: str, url: str, *rest: object, **more: object) -> Answer:
        return Answer(500, {}) if url.endswith("cancel-drink") else handle(method, url, *rest, **more)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(rig.model, "handle", refuse)


def slow_down(rig: Rig, monkeypatch: pytest.MonkeyPatch, takes_s: float, calls: str = "/drinks") -> None:
    """What has ``calls`` in its address, such as a page of drinks, takes the server so long."""
    handle = rig.model.handle

    def work(method: str, url: str, *rest: object, **more: object) -> Answer:
        rig.clock.now_s += takes_s if calls in url else 0
        return handle(method, url, *rest, **more)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(rig.model, "handle", work)


@pytest.mark.case(110)
def test_of_two_drinks_that_a_late_server_made_the_later_one_is_cancelled_ten_minutes_after(rig: Rig) -> None:
    make_two(rig)
    rig.restart()
    rig.send(Heartbeat(0))
    assert len(rig.drinks_of(POUR)) == 2, "ten minutes have not gone by"
    rig.clock.now_s += SWEEP_S - 300 + DEADLINE_S
    assert rig.send(OTHER).disposition is ACCEPTED
    assert len(rig.drinks_of(POUR)) == 1
    assert min(rig.model.drinks) in {one for one in rig.model.drinks if rig.model.drinks[one].ticks == POUR.pulses}


@pytest.mark.case(110)
@pytest.mark.case(134)
def test_a_second_drink_that_is_not_cancelled_is_said_and_holds_up_nothing(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = make_two(rig)
    refuse_to_cancel(rig, monkeypatch)
    pages: list[int] = []
    for _ in range(3):
        rig.clock.now_s += SWEEP_S
        assert rig.send(OTHER).disposition is ACCEPTED
        pages.append(rig.model.calls.count("GET drinks"))
    assert pages[0] == pages[2], "with the years there are more and more pages, and all else waits for them"
    (said,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert said == f"a pour is drink {second} too, which the server does not cancel; cancel it there"
    monkeypatch.undo()
    rig.clock.now_s += SWEEP_S
    rig.send(Heartbeat(0))
    assert len(rig.drinks_of(POUR)) == 1


@pytest.mark.case(151)
def test_the_second_drink_stays_where_a_person_cancels_the_first_meanwhile(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = make_two(rig)
    refuse_to_cancel(rig, monkeypatch)
    rig.clock.now_s += SWEEP_S
    rig.send(Heartbeat(0))
    monkeypatch.undo()
    del rig.model.drinks[min(rig.model.drinks)]
    rig.clock.now_s += SWEEP_S
    rig.send(Heartbeat(0))
    assert list(rig.model.drinks) == [second]
    assert len(rig.drinks_of(POUR)) == 1


@pytest.mark.case(110)
def test_a_drink_that_has_got_the_id_of_the_one_to_cancel_stays(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    second = make_two(rig)
    handle = rig.model.handle

    def give_id_away(method: str, url: str, *rest: object, **more: object) -> Answer:
        if url.endswith(f"drinks/{second}"):
            del rig.model.drinks[second]
            stranger = rig.model.pour_elsewhere(77)
            (number,) = [one for one, other in rig.model.drinks.items() if other is stranger]
            rig.model.drinks[second] = rig.model.drinks.pop(number)
        return handle(method, url, *rest, **more)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(rig.model, "handle", give_id_away)
    rig.clock.now_s += SWEEP_S
    rig.send(Heartbeat(0))
    assert rig.model.drinks[second].ticks == 77
    assert rig.model.cancelled == []


@pytest.mark.case(152)
def test_a_long_search_on_a_slow_server_lets_the_others_go_on_between(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answer(rig)
    (entry,) = (tmp_path / "journal").iterdir()
    entry.write_bytes(b"")  # nobody knows any more how far back it is
    for _ in range(3000):
        rig.model.pour_elsewhere(7)
    rig.restart()
    rig.send(Heartbeat(0))
    rig.clock.now_s += DOUBT_S + DEADLINE_S
    slow_down(rig, monkeypatch, 8)
    rounds = 0
    while (verdict := rig.send(POUR)).disposition is DEFERRED:
        assert verdict.others_go_on
        assert verdict.retry_after_s, "else it would be its turn again at once"
        before_s = rig.clock.now_s
        rig.send(Pour(1, 200, 3000, POUR.started_ms + rounds))
        assert rig.clock.now_s - before_s < WATCHDOG_S
        rig.clock.now_s += verdict.retry_after_s
        rounds += 1
    assert rounds > 5
    assert len(rig.drinks_of(POUR)) == 1


@pytest.mark.case(152)
def test_a_long_search_for_second_drinks_holds_up_nothing_and_comes_to_its_end(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = make_two(rig)
    for _ in range(3000):
        rig.model.pour_elsewhere(7)
    rig.clock.now_s += SWEEP_S
    slow_down(rig, monkeypatch, 8)
    for number in range(40):
        before_s = rig.clock.now_s
        assert rig.send(Pour(1, 200, 3000, POUR.started_ms + number)).disposition is ACCEPTED
        assert rig.clock.now_s - before_s < WATCHDOG_S
        rig.clock.now_s += DOUBT_S
    assert second not in rig.model.drinks
    assert len(rig.drinks_of(POUR)) == 1


@pytest.mark.case(152)
def test_no_record_waits_for_a_server_that_hardly_answers_longer_than_the_watchdog_does(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = make_two(rig)
    rig.clock.now_s += SWEEP_S
    rig.restart()
    slow_down(rig, monkeypatch, DEADLINE_S - 1, "")
    waiting = [Pour(1, 200, 3000, POUR.started_ms + number) for number in range(1, 4)]
    rounds = 0
    while waiting:
        before_s = rig.clock.now_s
        if rig.send(waiting[0]).disposition is ACCEPTED:
            waiting.pop(0)
        assert rig.clock.now_s - before_s < WATCHDOG_S
        rig.clock.now_s += DOUBT_S
        rounds += 1
        assert rounds < 40, "it never comes to its end"
    assert second not in rig.model.drinks
    assert all(len(rig.drinks_of(one)) == 1 for one in (POUR, Pour(1, 200, 3000, POUR.started_ms + 1)))
