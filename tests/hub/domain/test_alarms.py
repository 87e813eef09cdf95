"""An alarm is raised once, stands until somebody saw it and its cause is gone, and keeps its whole life."""

from collections import defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kegnet_client.hub.domain.alarms import (
    PUBLISHED,
    Alarm,
    Key,
    Moment,
    State,
    What,
    acknowledge,
    follow,
    live,
    publish,
)
from kegnet_client.hub.domain.rules import Finding

LOW = Finding("keg-low", "keg 7", "Helles: 7.1 l left")
KEY: Key = ("keg-low", "keg 7")


def after(*happened: What) -> Alarm:
    alarm: Alarm | None = None
    for at_ms, what in enumerate(happened):
        alarm = live(alarm, Moment(KEY, what, at_ms, "low", "anna"))
    assert alarm is not None
    return alarm


RAISED, CLEARED, ACKNOWLEDGED = What.RAISED, What.CLEARED, What.ACKNOWLEDGED


@pytest.mark.parametrize(
    ("happened", "state", "possible"),
    [
        ([RAISED], State.RAISED, {CLEARED, ACKNOWLEDGED}),
        ([RAISED, CLEARED], State.CLEARED, {RAISED, ACKNOWLEDGED}),
        ([RAISED, ACKNOWLEDGED], State.ACKNOWLEDGED, {CLEARED}),
        ([RAISED, CLEARED, ACKNOWLEDGED], State.ENDED, set()),
        ([RAISED, ACKNOWLEDGED, CLEARED], State.ENDED, set()),
        ([RAISED, CLEARED, RAISED], State.RAISED, {CLEARED, ACKNOWLEDGED}),
    ],
)
def test_only_what_can_happen_next_happens(happened: list[What], state: State, possible: set[What]) -> None:
    alarm = after(*happened)
    assert alarm.state is state
    for what in set(What) - possible:
        with pytest.raises(ValueError, match=f"{what.value}: the alarm is {state.value}"):
            live(alarm, Moment(KEY, what, 9, "low", "anna"))
    for what in possible:
        live(alarm, Moment(KEY, what, 9, "low", "anna"))


@pytest.mark.parametrize("what", [CLEARED, ACKNOWLEDGED])
def test_what_was_not_raised_can_neither_be_cleared_nor_acknowledged(what: What) -> None:
    with pytest.raises(ValueError, match="there is no alarm that stands"):
        live(None, Moment(KEY, what, 9, "", "anna"))


def test_only_somebody_with_a_name_acknowledges() -> None:
    with pytest.raises(ValueError, match="acknowledged"):
        live(after(RAISED), Moment(KEY, ACKNOWLEDGED, 9))


def test_an_alarm_tells_who_acknowledged_it_when_and_how_often_it_came() -> None:
    alarm = after(RAISED, CLEARED, RAISED, ACKNOWLEDGED, CLEARED)
    assert alarm == Alarm(KEY, "low", 0, 2, 4, 3, "anna")


def test_a_cause_is_told_once_when_it_comes_and_once_when_it_goes() -> None:
    (raised,) = follow({}, [LOW], 5)
    assert raised == Moment(KEY, RAISED, 5, LOW.text)
    standing = {KEY: live(None, raised)}
    assert follow(standing, [LOW], 6) == []
    (cleared,) = follow(standing, [], 7)
    standing = {KEY: live(standing[KEY], cleared)}
    assert standing[KEY].state is State.CLEARED
    assert follow(standing, [], 8) == []
    assert raised.is_news
    assert cleared.is_news


def test_what_is_not_fresh_raises_nothing_but_keeps_an_alarm_up() -> None:
    stale = Finding(*KEY, "low", is_fresh=False)
    assert follow({}, [stale], 5) == []
    assert follow({KEY: after(RAISED)}, [stale], 5) == []
    assert follow({KEY: after(RAISED, CLEARED)}, [stale], 5) == []


def test_acknowledging_again_changes_nothing() -> None:
    (moment,) = acknowledge(after(RAISED), "anna", 5)
    alarm = live(after(RAISED), moment)
    assert not moment.is_news
    assert acknowledge(alarm, "ben", 6) == []
    assert (alarm.acknowledged_by, alarm.acknowledged_ms) == ("anna", 5)


def test_what_is_published_stands_until_it_is_acknowledged() -> None:
    moments = publish({}, "controller_1::chamber_2", "1001", "set point\nnot reached\x1b", 5)
    key = (PUBLISHED, "controller_1::chamber_2 1001")
    alarm = live(live(None, moments[0]), moments[1])
    assert (alarm.key, alarm.text, alarm.state) == (key, "set point not reached?", State.CLEARED)
    assert [one.is_news for one in moments] == [True, False]
    assert follow({key: alarm}, [], 6) == []
    assert publish({key: alarm}, "controller_1::chamber_2", "1001", "again", 7) == []
    (acknowledged,) = acknowledge(alarm, "anna", 8)
    assert live(alarm, acknowledged).state is State.ENDED


class Lives(RuleBasedStateMachine):
    """Causes come and go, people acknowledge, programs publish: the alarms are what a plain account of it says."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.causes: dict[Key, bool] = {}
        self.standing: dict[Key, Alarm] = {}
        self.lives: dict[Key, list[Moment]] = defaultdict(list)
        self.unseen: set[Key] = set()

    def happen(self, moments: list[Moment]) -> None:
        for moment in moments:
            self.lives[moment.key].append(moment)
            alarm = live(self.standing.get(moment.key), moment)
            self.standing[moment.key] = alarm
            if alarm.state is State.ENDED:
                del self.standing[moment.key]

    @rule(keg=st.integers(1, 3), is_fresh=st.booleans())
    def come(self, keg: int, is_fresh: bool) -> None:
        self.causes[LOW.rule, f"keg {keg}"] = is_fresh

    @precondition(lambda self: self.causes)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        del self.causes[data.draw(st.sampled_from(sorted(self.causes)))]

    @rule()
    def judge(self) -> None:
        self.now_ms += 1
        before = dict(self.standing)
        self.happen(
            follow(self.standing, [Finding(*key, "low", is_fresh=new) for key, new in self.causes.items()], self.now_ms)
        )
        for key, is_fresh in self.causes.items():
            assert (key in self.standing) == (is_fresh or key in before)
            if key not in before and is_fresh:
                self.unseen.add(key)
        for key, alarm in self.standing.items():
            assert alarm.cleared_ms is not None or key in self.causes

    @precondition(lambda self: self.standing)
    @rule(data=st.data())
    def see(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.standing)))
        self.happen(acknowledge(self.standing[key], "anna", self.now_ms))
        self.unseen.discard(key)

    @rule(source=st.sampled_from("ab"))
    def tell(self, source: str) -> None:
        moments = publish(self.standing, source, "1001", "wrong", self.now_ms)
        self.unseen |= {one.key for one in moments}
        self.happen(moments)

    @invariant()
    def nothing_unseen_is_gone(self) -> None:
        assert self.unseen <= self.standing.keys()
        assert {key for key, one in self.standing.items() if one.acknowledged_ms is None} == self.unseen

    @invariant()
    def nothing_seen_stands_without_a_cause(self) -> None:
        assert all(one.state is not State.ENDED for one in self.standing.values())

    @invariant()
    def its_life_tells_what_it_is(self) -> None:
        for key, life in self.lives.items():
            alarm: Alarm | None = None
            for moment in life:
                alarm = live(None if alarm is not None and alarm.state is State.ENDED else alarm, moment)
            assert alarm is not None
            assert self.standing.get(key) == (None if alarm.state is State.ENDED else alarm)


TestLives = Lives.TestCase
