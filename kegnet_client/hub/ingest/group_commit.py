"""One commit for all the requests that wait for one.

A commit costs the same for one record and for hundreds, and only one can be under way. Submissions that arrive
meanwhile wait, and the next commit stores them together: the busier the hub, the more of them share a commit. A lone
submission waits for no others. `GroupCommit.take` returns after the commit that holds the submission is on disk.

A failure of the database fails every submission of the commit. A fault of one submission fails that one alone
(`kegnet_client.hub.ingest.rows`). No submission waits longer than `PATIENCE_S`: one that gave up is left out of the
next commit, and its sender learns by sending again whether the last one held it.

To be used by the event loop alone; the database is waited for in the store's writing lane, which no reader fills.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from kegnet_client.hub.ingest.rows import Outcome, Receipt, Submission
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

PATIENCE_S = 5.0
MAX_RECORDS = 1000
"""A commit takes no more submissions once they may hold this many records: it bounds the wait for the next one."""


class GroupCommit:
    """Takes submissions into ``store``."""

    def __init__(self, store: Store, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._waiting: deque[tuple[Submission, asyncio.Future[Receipt]]] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def take(self, submission: Submission) -> Receipt:
        """What became of ``submission``, once it is on disk; raises what is wrong with it, or `StoreError`."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append((submission, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await future
        except TimeoutError:
            raise StoreError(f"the database took longer than {PATIENCE_S:.0f} s") from None

    async def _write(self) -> None:
        try:
            while group := self._next_group():
                outcomes = await self._store_group([submission for submission, _ in group])
                for (_, future), outcome in zip(group, outcomes, strict=True):
                    if future.done():
                        continue
                    if isinstance(outcome, Exception):
                        future.set_exception(outcome)
                    else:
                        future.set_result(outcome)
        finally:
            self._writing = None

    def _next_group(self) -> list[tuple[Submission, asyncio.Future[Receipt]]]:
        group = []
        records = 0
        while self._waiting and records < MAX_RECORDS:
            submission, future = self._waiting.popleft()
            if not future.done():
                group.append((submission, future))
                records += submission.max_records
        return group

    async def _store_group(self, submissions: list[Submission]) -> list[Outcome]:
        try:
            return await self._store.writing.run(lambda: self._store.ingest(submissions, self._clock_ms()))
        except Exception as error:
            # Any failure goes to every submission of the commit: a future without a result would wait in vain.
            return [error] * len(submissions)
