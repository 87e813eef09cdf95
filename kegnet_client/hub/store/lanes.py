"""Lanes: threads of the hub's own that do one piece of work after the other, in the order in which it was given.

Requests share one pool of threads, and whoever reads much fills it. What must not wait behind readers has a lane: the
commits of what devices send, and the checkpoints of SQLite's log. The readers of pages share another one, so that
however many they are, one of them at a time asks for the interpreter, the disk and the database. Who reads but a row,
such as a token, has a lane beside that, and does not wait behind a page of a second.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

_T = TypeVar("_T")
_Job = Callable[[], None]


class Lane:
    """One thread, which begins with the first piece of work. It holds up nobody's end: a disk may hang."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], _T]) -> Future[_T]:
        """Have ``work`` done; a future that is cancelled before its turn costs nothing."""
        future: Future[_T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                done = work()
            except BaseException as error:  # the one who waits gets it, whatever it is
                future.set_exception(error)
            else:
                future.set_result(done)

        with self._lock:
            self._jobs.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        return future

    async def run(self, work: Callable[[], _T]) -> _T:
        """What ``work`` gives when its turn has come; the event loop goes on meanwhile."""
        return await asyncio.wrap_future(self.submit(work))

    def is_here(self) -> bool:
        """Whether this is the lane's own thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def close(self, wait_s: float) -> None:
        """End the thread after what it has been given, which is waited for no longer than ``wait_s``."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._jobs.put(None)
        if thread is not None:
            thread.join(wait_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
