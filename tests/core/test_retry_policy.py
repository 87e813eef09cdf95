"""Who waits for what: single promises first, then a machine that tries to break all of them."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kegnet_client.core.retry_policy import HEARTBEAT, MAX_FAILURES, MAX_REJECTIONS, Action, Decision, Link, LinkState
from kegnet_client.core.verdict import (
    MAX_CEILING_S,
    MAX_RETRY_AFTER_S,
    MISCONFIGURED_RETRY_S,
    Disposition,
    Verdict,
)

OK = Verdict(Disposition.ACCEPTED, "the server answered 200", 200)
NO_ROUTE = Verdict(Disposition.DEFERRED, "no route to the server")
BUSY = Verdict(Disposition.DEFERRED, "the server answered 429", 429, retry_after_s=120.0)
BROKEN = Verdict(Disposition.DEFERRED, "the server answered 500", 500, record_may_be_the_cause=True)
BAD = Verdict(Disposition.REJECTED, "the server answered 422: pin", 422)
LOST = Verdict(Disposition.MISCONFIGURED, "the server answered 404: mend serviceBaseURL", 404)


@pytest.fixture
def link() -> Link:
    """Its jitter is always half of what is possible."""
    return Link(lambda: 0.5)


def test_the_first_try_after_a_start_is_immediate(link: Link) -> None:
    assert link.state is LinkState.UNTRIED
    assert link.ready(0.0)


def test_a_record_goes_only_after_its_acceptance(link: Link) -> None:
    assert link.settle("a", OK, 10.0) == Decision(Action.REMOVE)
    assert (link.state, link.reason) == (LinkState.UP, "")
    assert link.ready(10.0)


def test_a_failure_of_the_link_makes_everybody_wait(link: Link) -> None:
    assert link.settle("a", NO_ROUTE, 10.0) == Decision(Action.KEEP)

    assert (link.state, link.reason) == (LinkState.DEFERRED, "no route to the server")
    assert link.retry_at_s == 10.5
    assert not link.ready(10.4)
    assert link.ready(10.5)


def test_a_server_that_takes_nothing_is_asked_ever_less_often(link: Link) -> None:
    now_s, waits_s = 0.0, []
    for number in range(12):
        link.settle(f"{number}", NO_ROUTE, now_s)
        waits_s.append(link.retry_at_s - now_s)
        now_s = link.retry_at_s

    assert waits_s == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150]


def test_what_the_server_asked_for_is_waited_for(link: Link) -> None:
    link.settle("a", BUSY, 10.0)

    assert not link.ready(129.9)
    assert link.retry_at_s == 130.5


def test_an_acceptance_ends_the_wait_and_starts_the_next_one_small(link: Link) -> None:
    for _ in range(5):
        link.settle("a", NO_ROUTE, 0.0)
    link.settle("b", OK, 1000.0)
    assert link.ready(1000.0)

    link.settle("c", NO_ROUTE, 2000.0)
    assert link.retry_at_s == 2000.5


def test_a_record_that_meets_three_failures_in_a_row_lets_another_one_try(link: Link) -> None:
    actions = [link.settle("a", NO_ROUTE, now_s).action for now_s in range(MAX_FAILURES)]

    assert actions == [Action.KEEP, Action.KEEP, Action.STEP_ASIDE]
    assert link.stands_aside("a")
    assert link.settle("b", NO_ROUTE, 9.0).action is Action.KEEP


@pytest.mark.parametrize("between", [OK, BAD, LOST, BROKEN])
def test_failures_that_are_not_in_a_row_do_not_add_up(link: Link, between: Verdict) -> None:
    for now_s in range(MAX_FAILURES - 1):
        link.settle("a", NO_ROUTE, now_s)
    link.settle("b", between, 5.0)

    assert link.settle("b", NO_ROUTE, 6.0).action is Action.KEEP
    assert link.settle("a", NO_ROUTE, 7.0).action is Action.KEEP


def test_one_record_that_always_earns_a_5xx_never_blocks_the_others(link: Link) -> None:
    now_s = 0.0
    for number in range(100):
        decision = link.settle("bad", BROKEN, now_s)
        assert decision.action is Action.STEP_ASIDE
        assert decision.until_s > now_s
        assert link.ready(now_s)
        assert link.settle(f"good{number}", OK, now_s).action is Action.REMOVE
        assert link.state is LinkState.UP
        now_s = decision.until_s

    assert decision.until_s - now_s <= MAX_CEILING_S


def test_the_waits_of_one_bad_record_grow_whatever_the_others_do(link: Link) -> None:
    waits_s = []
    for _ in range(11):
        waits_s.append(link.settle("bad", BROKEN, 0.0).until_s)
        link.settle("good", OK, 0.0)

    assert waits_s == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 150, 150]


def test_two_records_with_a_5xx_in_a_row_are_the_server_s_fault(link: Link) -> None:
    link.settle("a", BROKEN, 10.0)
    assert link.ready(10.0)
    assert link.state is LinkState.UNTRIED

    assert link.settle("b", BROKEN, 10.0).action is Action.STEP_ASIDE
    assert not link.ready(10.0)
    assert (link.state, link.reason) == (LinkState.DEFERRED, "the server answered 500")


def test_more_of_them_may_step_aside_first_where_each_is_tried_once(link: Link) -> None:
    link.max_aside = 3
    for name in "abc":
        assert link.settle(name, BROKEN, 10.0).action is Action.STEP_ASIDE
        assert link.ready(10.0)
    link.settle("d", BROKEN, 10.0)

    assert (link.state, link.ready(10.0)) == (LinkState.DEFERRED, False)


def test_after_a_failure_of_the_link_a_5xx_is_the_server_s_fault_at_once(link: Link) -> None:
    link.max_aside = 3
    link.settle("a", NO_ROUTE, 10.0)
    link.settle("b", BROKEN, 20.0)

    assert not link.ready(20.0)


def test_a_lonely_record_with_a_5xx_waits_for_itself_and_not_for_the_next_one(link: Link) -> None:
    link.settle("a", BROKEN, 10.0)
    link.settle("a", BROKEN, 11.0)

    assert (link.state, link.reason) == (LinkState.DEFERRED, BROKEN.reason)
    assert link.ready(11.0)
    assert link.settle("b", OK, 11.0).action is Action.REMOVE
    assert link.state is LinkState.UP


def test_a_rejected_record_makes_way_for_the_next_one_at_once(link: Link) -> None:
    assert link.settle("a", BAD, 10.0) == Decision(Action.REJECT)
    assert link.ready(10.0)
    assert link.state is LinkState.UP


def test_ten_rejections_without_an_acceptance_are_the_server_s_fault(link: Link) -> None:
    actions = [link.settle(f"{number}", BAD, 10.0).action for number in range(MAX_REJECTIONS)]
    assert actions == [Action.REJECT] * MAX_REJECTIONS
    assert "the server rejected 10 records in a row" in link.reason
    assert link.reason.endswith("the server answered 422: pin")
    assert link.retry_at_s == 310.0

    assert link.settle("next", BAD, 310.0).action is Action.QUEUE_LAST
    assert (link.state, link.retry_at_s) == (LinkState.MISCONFIGURED, 610.0)

    link.settle("good", OK, 610.0)
    assert link.state is LinkState.UP
    assert link.settle("bad", BAD, 611.0).action is Action.REJECT


def test_a_server_that_takes_signs_of_life_alone_is_not_trusted_with_records_for_that(link: Link) -> None:
    for number in range(MAX_REJECTIONS):
        assert link.settle(f"{number}", BAD, 10.0).action is Action.REJECT
        assert link.settle(HEARTBEAT, OK, 10.0).action is Action.REMOVE

    assert link.settle("next", BAD, 310.0).action is Action.QUEUE_LAST


def test_a_reload_does_not_make_a_distrusted_server_trusted(link: Link) -> None:
    for number in range(MAX_REJECTIONS):
        link.settle(f"{number}", BAD, 10.0)
    link.retry_now()

    assert link.ready(10.0)
    assert link.settle("next", BAD, 10.0).action is Action.QUEUE_LAST


def test_a_misconfiguration_keeps_everything_and_is_tried_every_five_minutes_in_turn(link: Link) -> None:
    assert link.settle("a", LOST, 10.0) == Decision(Action.QUEUE_LAST)
    assert (link.state, link.reason) == (LinkState.MISCONFIGURED, LOST.reason)
    assert link.retry_at_s == 310.0


def test_a_reload_tries_at_once(link: Link) -> None:
    for _ in range(9):
        link.settle("a", NO_ROUTE, 10.0)
    link.retry_now()
    assert link.ready(10.0)

    link.settle("a", NO_ROUTE, 10.0)
    assert link.retry_at_s == 10.5


def test_what_is_known_of_a_record_ends_with_it(link: Link) -> None:
    for _ in range(5):
        link.settle("a", BROKEN, 10.0)
    assert link.stands_aside("a")
    link.forget("a")
    link.forget("a")

    assert not link.stands_aside("a")
    assert link.settle("a", BROKEN, 20.0).until_s == 20.5


verdicts = st.sampled_from([OK, NO_ROUTE, BUSY, BROKEN, BAD, LOST])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([NO_ROUTE, BUSY, BROKEN, LOST]))), st.randoms())
def test_without_an_acceptance_or_a_rejection_every_record_stays(
    exchanges: list[tuple[str, Verdict]], random: Random
) -> None:
    link = Link(random.random)
    for number, (name, verdict) in enumerate(exchanges):
        assert link.settle(name, verdict, number).action not in (Action.REMOVE, Action.REJECT)


@settings(max_examples=200, stateful_step_count=60)
class LinkMachine(RuleBasedStateMachine):
    """Any answers to any records, at any times; some were under way when everybody began to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.link = Link(lambda: 0.5)
        self.rejected_in_a_row = 0
        self.suspect: str | None = None
        "The record that the last deferral was about, since the link was last seen up."

    @initialize(random=st.randoms())
    def jitter(self, random: Random) -> None:
        self.link = Link(random.random)

    @rule(wait_s=st.floats(0, 1000))
    def time_goes_by(self, wait_s: float) -> None:
        self.now_s += wait_s

    @rule()
    def time_goes_by_until_the_next_try(self) -> None:
        self.now_s = max(self.now_s, self.link.retry_at_s)

    @rule()
    def reload(self) -> None:
        self.link.retry_now()
        assert self.link.ready(self.now_s)

    @rule(name=st.sampled_from("abcd"))
    def someone_takes_a_record_away(self, name: str) -> None:
        self.link.forget(name)
        assert not self.link.stands_aside(name)

    @rule(name=st.sampled_from("abcd"))
    def rejection_beside_an_acceptance(self, name: str) -> None:
        before = (self.link.state, self.link.retry_at_s)
        decision = self.link.settle(name, BAD, self.now_s, beside_an_acceptance=True)

        assert decision.action is Action.REJECT
        assert (self.link.state, self.link.retry_at_s) == before

    @rule(name=st.sampled_from("abcd"), verdict=verdicts)
    def exchange(self, name: str, verdict: Verdict) -> None:
        waiting_until_s = self.link.retry_at_s
        decision = self.link.settle(name, verdict, self.now_s)

        assert (decision.action is Action.REMOVE) == (verdict is OK)
        if decision.action is Action.REJECT:
            assert verdict is BAD
            self.rejected_in_a_row += 1
            assert self.rejected_in_a_row <= MAX_REJECTIONS
        elif verdict is OK:
            self.rejected_in_a_row = 0
        if decision.action is Action.STEP_ASIDE:
            assert self.now_s <= decision.until_s <= self.now_s + MAX_CEILING_S
            assert self.link.stands_aside(name)

        match verdict.disposition:
            case Disposition.ACCEPTED:
                assert self.link.state is LinkState.UP
                assert self.link.ready(self.now_s)
            case Disposition.REJECTED:
                distrusted = decision.action is not Action.REJECT or self.rejected_in_a_row == MAX_REJECTIONS
                assert self.link.ready(self.now_s) != distrusted
                assert (self.link.state is LinkState.MISCONFIGURED) == distrusted
            case Disposition.MISCONFIGURED:
                assert self.link.retry_at_s == self.now_s + MISCONFIGURED_RETRY_S
            case Disposition.DEFERRED if verdict is BROKEN:
                assert decision.action is Action.STEP_ASIDE
                if self.suspect in (None, name) or self.now_s < waiting_until_s:
                    assert self.link.retry_at_s == waiting_until_s
                else:
                    assert self.link.state is LinkState.DEFERRED
                    assert self.now_s <= self.link.retry_at_s <= self.now_s + MAX_CEILING_S
            case Disposition.DEFERRED if self.now_s < waiting_until_s:
                assert self.link.retry_at_s == max(waiting_until_s, self.now_s + (verdict.retry_after_s or 0.0))
            case Disposition.DEFERRED:
                asked_s = verdict.retry_after_s or 0.0
                assert self.now_s + asked_s <= self.link.retry_at_s <= self.now_s + asked_s + MAX_CEILING_S
                assert self.link.state is LinkState.DEFERRED
        if self.link.state is LinkState.UP and verdict.disposition is not Disposition.DEFERRED:
            self.suspect = None
        elif verdict.disposition is Disposition.DEFERRED:
            self.suspect = name

    @invariant()
    def the_link_is_ready_exactly_from_its_next_try_on(self) -> None:
        retry_at_s = self.link.retry_at_s
        assert self.link.ready(retry_at_s)
        assert self.link.ready(self.now_s) == (self.now_s >= retry_at_s)
        assert retry_at_s <= self.now_s + MAX_RETRY_AFTER_S + MAX_CEILING_S

    @invariant()
    def a_state_that_needs_a_reason_has_one(self) -> None:
        assert bool(self.link.reason) == (self.link.state in (LinkState.DEFERRED, LinkState.MISCONFIGURED))


TestLinkMachine = LinkMachine.TestCase
