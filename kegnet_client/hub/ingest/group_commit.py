"""One commit for all the requests that wait for one.

A commit costs the same for one record and for hundreds, and only one can be under way. So what arrives meanwhile
waits, and is stored together by the next one: the busier the hub, the more share a commit, and nobody waits for
company when there is none. `Journal.take` returns after the commit that holds the submission is on disk.

What the database cannot do fails all of a commit, and all who wait for it are told. What is wrong with a single
submission fails that one alone (`kegnet_client.hub.ingest.rows`). Nobody waits longer than `PATIENCE_S`; who gave up
is left out of the next commit, and whether it was in the last one is found out by sending again.

To be used by the event loop alone; the database is waited for in a thread.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.ingest.rows import Outcome, Receipt, Submission
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

PATIENCE_S = 5.0
MAX_RECORDS = 1000
"""A commit is full when it may hold as many; it bounds how long the next one is waited for."""


class Journal:
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
            return await run_in_threadpool(self._store.ingest, submissions, self._clock_ms())
        except Exception as error:
            # Whatever it is, each of those who wait is told.
            return [error] * len(submissions)
