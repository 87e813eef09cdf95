"""Who waits for what: single promises first, then a machine that tries to break all of them."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kegnet_client.core.retry_policy import (
    HEARTBEAT,
    MAX_CEILING_S,
    MAX_FAILURES,
    MAX_REJECTIONS,
    MISCONFIGURED_RETRY_S,
    Action,
    Decision,
    LinkState,
    RetryPolicy,
)
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire.answer import MAX_RETRY_AFTER_S

OK = Verdict(Disposition.ACCEPTED, "the server answered 200", 200)
NO_ROUTE = Verdict(Disposition.DEFERRED, "no route to the server")
BUSY = Verdict(Disposition.DEFERRED, "the server answered 429", 429, retry_after_s=120.0)
BROKEN = Verdict(Disposition.DEFERRED, "the server answered 500", 500, record_may_be_the_cause=True)
BAD = Verdict(Disposition.REJECTED, "the server answered 422: pin", 422)
LOST = Verdict(Disposition.MISCONFIGURED, "the server answered 404: fix serviceBaseURL", 404)


@pytest.fixture
def policy() -> RetryPolicy:
    """Its jitter is always half of what is possible."""
    return RetryPolicy(lambda: 0.5, "check the address")


def test_the_first_try_after_a_start_is_immediate(policy: RetryPolicy) -> None:
    assert policy.state is LinkState.UNTRIED
    assert policy.ready(0.0)


def test_a_record_goes_only_after_its_acceptance(policy: RetryPolicy) -> None:
    assert policy.settle("a", OK, 10.0) == Decision(Action.REMOVE)
    assert (policy.state, policy.reason) == (LinkState.UP, "")
    assert policy.ready(10.0)


def test_a_failure_of_the_link_makes_everybody_wait(policy: RetryPolicy) -> None:
    assert policy.settle("a", NO_ROUTE, 10.0) == Decision(Action.KEEP)

    assert (policy.state, policy.reason) == (LinkState.DEFERRED, "no route to the server")
    assert policy.retry_at_s == 10.5
    assert not policy.ready(10.4)
    assert policy.ready(10.5)


def test_a_wait_of_one_record_alone_says_nothing_of_the_link(policy: RetryPolicy) -> None:
    held = Verdict(Disposition.DEFERRED, "the tap has no keg", retry_after_s=60.0, others_go_on=True)
    policy.settle("a", OK, 10.0)
    for name in "bcd":
        assert policy.settle(name, held, 10.0) == Decision(Action.STEP_ASIDE, 70.0)
    assert policy.state is LinkState.UP
    assert policy.ready(10.0)
    assert policy.stands_aside("b")
    policy.settle("e", NO_ROUTE, 10.0)
    assert policy.settle("b", held, 10.0) == Decision(Action.STEP_ASIDE, 70.0)
    assert (policy.state, policy.reason) == (LinkState.DEFERRED, "no route to the server")


@pytest.mark.parametrize(("verdict", "until_s"), [(BROKEN, 10.5), (LOST, 10.0 + MISCONFIGURED_RETRY_S)])
def test_a_failure_beside_an_acceptance_is_the_records_own(
    policy: RetryPolicy, verdict: Verdict, until_s: float
) -> None:
    policy.settle("a", OK, 10.0)

    assert policy.settle("b", verdict, 10.0, beside_an_acceptance=True) == Decision(Action.STEP_ASIDE, until_s)
    assert policy.stands_aside("b")
    assert policy.state is LinkState.UP
    assert policy.ready(10.0)


def test_a_server_that_takes_nothing_is_asked_ever_less_often(policy: RetryPolicy) -> None:
    now_s, waits_s = 0.0, []
    for number in range(12):
        policy.settle(f"{number}", NO_ROUTE, now_s)
        waits_s.append(policy.retry_at_s - now_s)
        now_s = policy.retry_at_s

    assert waits_s == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150]


def test_what_the_server_asked_for_is_waited_for(policy: RetryPolicy) -> None:
    policy.settle("a", BUSY, 10.0)

    assert not policy.ready(129.9)
    assert policy.retry_at_s == 130.5


def test_an_acceptance_ends_the_wait_and_starts_the_next_one_small(policy: RetryPolicy) -> None:
    for _ in range(5):
        policy.settle("a", NO_ROUTE, 0.0)
    policy.settle("b", OK, 1000.0)
    assert policy.ready(1000.0)

    policy.settle("c", NO_ROUTE, 2000.0)
    assert policy.retry_at_s == 2000.5


def test_a_record_that_meets_three_failures_in_a_row_lets_another_one_try(policy: RetryPolicy) -> None:
    actions = [policy.settle("a", NO_ROUTE, now_s).action for now_s in range(MAX_FAILURES)]

    assert actions == [Action.KEEP, Action.KEEP, Action.STEP_ASIDE]
    assert policy.stands_aside("a")
    assert policy.settle("b", NO_ROUTE, 9.0).action is Action.KEEP


@pytest.mark.parametrize("between", [OK, BAD, LOST, BROKEN])
def test_failures_that_are_not_in_a_row_do_not_add_up(policy: RetryPolicy, between: Verdict) -> None:
    for now_s in range(MAX_FAILURES - 1):
        policy.settle("a", NO_ROUTE, now_s)
    policy.settle("b", between, 5.0)

    assert policy.settle("b", NO_ROUTE, 6.0).action is Action.KEEP
    assert policy.settle("a", NO_ROUTE, 7.0).action is Action.KEEP


def test_one_record_that_always_earns_a_5xx_never_blocks_the_others(policy: RetryPolicy) -> None:
    now_s = 0.0
    for number in range(100):
        decision = policy.settle("bad", BROKEN, now_s)
        assert decision.action is Action.STEP_ASIDE
        assert decision.until_s > now_s
        assert policy.ready(now_s)
        assert policy.settle(f"good{number}", OK, now_s).action is Action.REMOVE
        assert policy.state is LinkState.UP
        now_s = decision.until_s

    assert decision.until_s - now_s <= MAX_CEILING_S


def test_the_waits_of_one_bad_record_grow_whatever_the_others_do(policy: RetryPolicy) -> None:
    waits_s = []
    for _ in range(11):
        waits_s.append(policy.settle("bad", BROKEN, 0.0).until_s)
        policy.settle("good", OK, 0.0)

    assert waits_s == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 150, 150]


def test_two_records_with_a_5xx_in_a_row_are_the_server_s_fault(policy: RetryPolicy) -> None:
    policy.settle("a", BROKEN, 10.0)
    assert policy.ready(10.0)
    assert policy.state is LinkState.UNTRIED

    assert policy.settle("b", BROKEN, 10.0).action is Action.STEP_ASIDE
    assert not policy.ready(10.0)
    assert (policy.state, policy.reason) == (LinkState.DEFERRED, "the server answered 500")


def test_more_of_them_may_step_aside_first_where_each_is_tried_once(policy: RetryPolicy) -> None:
    policy.max_aside = 3
    for name in "abc":
        assert policy.settle(name, BROKEN, 10.0).action is Action.STEP_ASIDE
        assert policy.ready(10.0)
    policy.settle("d", BROKEN, 10.0)

    assert (policy.state, policy.ready(10.0)) == (LinkState.DEFERRED, False)


def test_after_a_failure_of_the_link_a_5xx_is_the_server_s_fault_at_once(policy: RetryPolicy) -> None:
    policy.max_aside = 3
    policy.settle("a", NO_ROUTE, 10.0)
    policy.settle("b", BROKEN, 20.0)

    assert not policy.ready(20.0)


def test_a_lonely_record_with_a_5xx_waits_for_itself_and_not_for_the_next_one(policy: RetryPolicy) -> None:
    policy.settle("a", BROKEN, 10.0)
    policy.settle("a", BROKEN, 11.0)

    assert (policy.state, policy.reason) == (LinkState.DEFERRED, BROKEN.reason)
    assert policy.ready(11.0)
    assert policy.settle("b", OK, 11.0).action is Action.REMOVE
    assert policy.state is LinkState.UP


def test_a_rejected_record_makes_way_for_the_next_one_at_once(policy: RetryPolicy) -> None:
    assert policy.settle("a", BAD, 10.0) == Decision(Action.REJECT)
    assert policy.ready(10.0)
    assert policy.state is LinkState.UP


def test_ten_rejections_without_an_acceptance_are_the_server_s_fault(policy: RetryPolicy) -> None:
    actions = [policy.settle(f"{number}", BAD, 10.0).action for number in range(MAX_REJECTIONS)]
    assert actions == [Action.REJECT] * MAX_REJECTIONS
    assert "the server rejected 10 records in a row" in policy.reason
    assert policy.reason.endswith("the server answered 422: pin")
    assert policy.retry_at_s == 310.0

    assert policy.settle("next", BAD, 310.0).action is Action.QUEUE_LAST
    assert (policy.state, policy.retry_at_s) == (LinkState.MISCONFIGURED, 610.0)

    policy.settle("good", OK, 610.0)
    assert policy.state is LinkState.UP
    assert policy.settle("bad", BAD, 611.0).action is Action.REJECT


def test_a_server_that_takes_signs_of_life_alone_is_not_trusted_with_records_for_that(policy: RetryPolicy) -> None:
    for number in range(MAX_REJECTIONS):
        assert policy.settle(f"{number}", BAD, 10.0).action is Action.REJECT
        assert policy.settle(HEARTBEAT, OK, 10.0).action is Action.REMOVE

    assert policy.settle("next", BAD, 310.0).action is Action.QUEUE_LAST


def test_a_reload_does_not_make_a_distrusted_server_trusted(policy: RetryPolicy) -> None:
    for number in range(MAX_REJECTIONS):
        policy.settle(f"{number}", BAD, 10.0)
    policy.retry_now()

    assert policy.ready(10.0)
    assert policy.settle("next", BAD, 10.0).action is Action.QUEUE_LAST


def test_a_misconfiguration_keeps_everything_and_is_tried_every_five_minutes_in_turn(policy: RetryPolicy) -> None:
    assert policy.settle("a", LOST, 10.0) == Decision(Action.QUEUE_LAST)
    assert (policy.state, policy.reason) == (LinkState.MISCONFIGURED, LOST.reason)
    assert policy.retry_at_s == 310.0


def test_a_reload_tries_at_once(policy: RetryPolicy) -> None:
    for _ in range(9):
        policy.settle("a", NO_ROUTE, 10.0)
    policy.retry_now()
    assert policy.ready(10.0)

    policy.settle("a", NO_ROUTE, 10.0)
    assert policy.retry_at_s == 10.5


def test_what_is_known_of_a_record_ends_with_it(policy: RetryPolicy) -> None:
    for _ in range(5):
        policy.settle("a", BROKEN, 10.0)
    assert policy.stands_aside("a")
    policy.forget("a")
    policy.forget("a")

    assert not policy.stands_aside("a")
    assert policy.settle("a", BROKEN, 20.0).until_s == 20.5


verdicts = st.sampled_from([OK, NO_ROUTE, BUSY, BROKEN, BAD, LOST])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([NO_ROUTE, BUSY, BROKEN, LOST]))), st.randoms())
def test_without_an_acceptance_or_a_rejection_every_record_stays(
    exchanges: list[tuple[str, Verdict]], random: Random
) -> None:
    policy = RetryPolicy(random.random, "check the address")
    for number, (name, verdict) in enumerate(exchanges):
        assert policy.settle(name, verdict, number).action not in (Action.REMOVE, Action.REJECT)


@settings(max_examples=2 * settings().max_examples, stateful_step_count=60)
class LinkMachine(RuleBasedStateMachine):
    """Any answers to any records, at any times; some were under way when everybody began to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.policy = RetryPolicy(lambda: 0.5, "check the address")
        self.rejected_in_a_row = 0
        self.suspect: str | None = None
        "The record that the last deferral was about, since the link was last seen up."

    @initialize(random=st.randoms())
    def jitter(self, random: Random) -> None:
        self.policy = RetryPolicy(random.random, "check the address")

    @rule(wait_s=st.floats(0, 1000))
    def time_goes_by(self, wait_s: float) -> None:
        self.now_s += wait_s

    @rule()
    def time_goes_by_until_the_next_try(self) -> None:
        self.now_s = max(self.now_s, self.policy.retry_at_s)

    @rule()
    def reload(self) -> None:
        self.policy.retry_now()
        assert self.policy.ready(self.now_s)

    @rule(name=st.sampled_from("abcd"))
    def someone_takes_a_record_away(self, name: str) -> None:
        self.policy.forget(name)
        assert not self.policy.stands_aside(name)

    @rule(name=st.sampled_from("abcd"))
    def rejection_beside_an_acceptance(self, name: str) -> None:
        before = (self.policy.state, self.policy.retry_at_s)
        decision = self.policy.settle(name, BAD, self.now_s, beside_an_acceptance=True)

        assert decision.action is Action.REJECT
        assert (self.policy.state, self.policy.retry_at_s) == before

    @rule(name=st.sampled_from("abcd"), verdict=verdicts)
    def exchange(self, name: str, verdict: Verdict) -> None:
        waiting_until_s = self.policy.retry_at_s
        decision = self.policy.settle(name, verdict, self.now_s)

        assert (decision.action is Action.REMOVE) == (verdict is OK)
        if decision.action is Action.REJECT:
            assert verdict is BAD
            self.rejected_in_a_row += 1
            assert self.rejected_in_a_row <= MAX_REJECTIONS
        elif verdict is OK:
            self.rejected_in_a_row = 0
        if decision.action is Action.STEP_ASIDE:
            assert self.now_s <= decision.until_s <= self.now_s + MAX_CEILING_S
            assert self.policy.stands_aside(name)

        match verdict.disposition:
            case Disposition.ACCEPTED:
                assert self.policy.state is LinkState.UP
                assert self.policy.ready(self.now_s)
            case Disposition.REJECTED:
                distrusted = decision.action is not Action.REJECT or self.rejected_in_a_row == MAX_REJECTIONS
                assert self.policy.ready(self.now_s) != distrusted
                assert (self.policy.state is LinkState.MISCONFIGURED) == distrusted
            case Disposition.MISCONFIGURED:
                assert self.policy.retry_at_s == self.now_s + MISCONFIGURED_RETRY_S
            case Disposition.DEFERRED if verdict is BROKEN:
                assert decision.action is Action.STEP_ASIDE
                if self.suspect in (None, name) or self.now_s < waiting_until_s:
                    assert self.policy.retry_at_s == waiting_until_s
                else:
                    assert self.policy.state is LinkState.DEFERRED
                    assert self.now_s <= self.policy.retry_at_s <= self.now_s + MAX_CEILING_S
            case Disposition.DEFERRED if self.now_s < waiting_until_s:
                assert self.policy.retry_at_s == max(waiting_until_s, self.now_s + (verdict.retry_after_s or 0.0))
            case Disposition.DEFERRED:
                asked_s = verdict.retry_after_s or 0.0
                assert self.now_s + asked_s <= self.policy.retry_at_s <= self.now_s + asked_s + MAX_CEILING_S
                assert self.policy.state is LinkState.DEFERRED
        if self.policy.state is LinkState.UP and verdict.disposition is not Disposition.DEFERRED:
            self.suspect = None
        elif verdict.disposition is Disposition.DEFERRED:
            self.suspect = name

    @invariant()
    def the_link_is_ready_exactly_from_its_next_try_on(self) -> None:
        retry_at_s = self.policy.retry_at_s
        assert self.policy.ready(retry_at_s)
        assert self.policy.ready(self.now_s) == (self.now_s >= retry_at_s)
        assert retry_at_s <= self.now_s + MAX_RETRY_AFTER_S + MAX_CEILING_S

    @invariant()
    def a_state_that_needs_a_reason_has_one(self) -> None:
        assert bool(self.policy.reason) == (self.policy.state in (LinkState.DEFERRED, LinkState.MISCONFIGURED))


TestLinkMachine = LinkMachine.TestCase
