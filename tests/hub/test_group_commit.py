"""One commit for all who wait for one, and everyone is told what is theirs."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest import group_commit
from kegnet_client.hub.ingest.forms import Proven, RefusedError, SignedString
from kegnet_client.hub.ingest.group_commit import GroupCommit
from kegnet_client.hub.ingest.rows import Outcome, Receipt, Submission
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.lanes import Lane


class Sent:
    """A submission that is one record, or more."""

    def __init__(self, device: str, max_records: int = 1) -> None:
        self.device = device
        self.max_records = max_records

    def prove(self, _keys_pem: Sequence[str], _now_ms: int) -> Proven:
        return Proven(self.device, Version.V2, (), "", SignedString(b"", b""))


class SlowStore:
    """A database whose commits end when the test says so; ``outcome`` is what they end with."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.under_way = 0
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.writing = Lane("writing")
        self.outcome: Callable[[Submission], Outcome] = lambda one: Receipt(one.device, one.prove((), 0), (True,))

    def ingest(self, submissions: Sequence[Submission], _now_ms: int) -> list[Outcome]:
        self.commits.append([one.device for one in submissions])
        self.under_way += 1
        self.begun.release()
        try:
            assert self.may_end.acquire(timeout=10)
            return [self.outcome(one) for one in submissions]
        finally:
            self.under_way -= 1


@pytest.fixture
def slow() -> SlowStore:
    return SlowStore()


async def settle(slow: SlowStore) -> None:
    """Until a commit is under way, and everyone who was started waits."""
    assert await asyncio.to_thread(slow.begun.acquire, timeout=10)


def start(taker: GroupCommit, *names: str, max_records: int = 1) -> list[asyncio.Task[Receipt]]:
    return [asyncio.create_task(taker.take(Sent(name, max_records))) for name in names]


def run(slow: SlowStore, test: Callable[[GroupCommit], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(GroupCommit(slow, lambda: 0))  # type: ignore[arg-type]  # only `ingest` of a store is used

    asyncio.run(main())


def test_what_arrives_during_a_commit_shares_the_next_one(slow: SlowStore) -> None:
    async def test(taker: GroupCommit) -> None:
        tasks = start(taker, "a")
        await settle(slow)
        tasks += start(taker, "b", "c", "d")
        await asyncio.sleep(0)
        slow.may_end.release(2)
        assert [receipt.device_name for receipt in await asyncio.gather(*tasks)] == ["a", "b", "c", "d"]
        assert slow.commits == [["a"], ["b", "c", "d"]]

    run(slow, test)


def test_nobody_is_answered_before_the_commit(slow: SlowStore) -> None:
    async def test(taker: GroupCommit) -> None:
        (task,) = start(taker, "a")
        await settle(slow)
        assert not task.done()
        slow.may_end.release()
        assert (await task).is_new == (True,)

    run(slow, test)


def test_what_is_wrong_with_one_is_told_to_that_one_alone(slow: SlowStore) -> None:
    def judge(one: Submission) -> Outcome:
        return RefusedError("no") if one.device == "bad" else Receipt(one.device, one.prove((), 0), (True,))

    async def test(taker: GroupCommit) -> None:
        slow.outcome = judge
        slow.may_end.release(2)
        good, bad, other = await asyncio.gather(*start(taker, "good", "bad", "other"), return_exceptions=True)
        assert isinstance(good, Receipt)
        assert isinstance(bad, RefusedError)
        assert isinstance(other, Receipt)

    run(slow, test)


@pytest.mark.parametrize("trouble", [StoreError("the disk is full"), ZeroDivisionError()])
def test_a_commit_that_fails_is_told_to_all_who_waited_for_it_and_the_next_one_is_tried(
    slow: SlowStore, trouble: Exception
) -> None:
    def fail(_one: Submission) -> Outcome:
        raise trouble

    async def test(taker: GroupCommit) -> None:
        works, slow.outcome = slow.outcome, fail
        tasks = start(taker, "a")
        await settle(slow)
        tasks += start(taker, "b", "c")
        await asyncio.sleep(0)
        slow.may_end.release(2)
        assert await asyncio.gather(*tasks, return_exceptions=True) == [trouble] * 3
        slow.outcome = works
        slow.may_end.release()
        assert isinstance(await start(taker, "d")[0], Receipt)

    run(slow, test)


def test_a_commit_has_its_bound_and_the_rest_comes_next(slow: SlowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_RECORDS", 1000)

    async def test(taker: GroupCommit) -> None:
        slow.may_end.release(10)
        await asyncio.gather(*start(taker, "a", "b", "c", "d", "e", max_records=500))
        assert slow.commits == [["a", "b"], ["c", "d"], ["e"]]

    run(slow, test)


def test_nobody_waits_longer_than_the_patience_and_who_gave_up_is_left_out(
    slow: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "PATIENCE_S", 0.05)

    async def test(taker: GroupCommit) -> None:
        tasks = start(taker, "a")
        await settle(slow)
        tasks += start(taker, "b")
        for failed in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(failed, StoreError)
        monkeypatch.setattr(group_commit, "PATIENCE_S", 10)
        late = start(taker, "c")
        await asyncio.sleep(0)
        slow.may_end.release(2)
        assert isinstance(await late[0], Receipt)
        assert slow.commits == [["a"], ["c"]]

    run(slow, test)


def test_a_stop_does_not_wait_for_a_commit_that_hangs(slow: SlowStore) -> None:
    async def test(taker: GroupCommit) -> None:
        start(taker, "a")
        await settle(slow)

    try:
        run(slow, test)  # asyncio.run cancels what is under way
        assert slow.under_way == 1
    finally:
        slow.may_end.release()
