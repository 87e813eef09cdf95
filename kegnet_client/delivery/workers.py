"""The connections beside the first: threads that carry a backlog and end with it.

Each has a sink of its own, which is closed when it is not wanted any more.
"""

import threading
from collections.abc import Callable

from kegnet_client.sinks.base import OpenSink, Sink


class WorkerPool:
    """Runs ``work(sink, number)`` for each number from 1 on.

    ``ended`` is called in the thread when it is over, with what it raised. `resize` and `close` are for one
    thread.
    """

    def __init__(
        self,
        open_sink: OpenSink,
        work: Callable[[Sink, int], None],
        ended: Callable[[Exception | None], None],
    ) -> None:
        self._open_sink = open_sink
        self._work = work
        self._ended = ended
        self._sinks: dict[int, Sink] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._at_work: set[int] = set()

    @property
    def is_busy(self) -> bool:
        """Whether anybody is at work."""
        return bool(self._at_work)

    def resize(self, connections: int) -> None:
        """Have as many at work as make ``connections`` with the first one; close what more there is and idle."""
        for number in range(1, connections):
            if number not in self._at_work and not self._start(number):
                break
        for number in [one for one in self._sinks if one >= connections and one not in self._at_work]:
            if thread := self._threads.pop(number, None):
                thread.join()
            self._sinks.pop(number).close()

    def _start(self, number: int) -> bool:
        """Have one more at work; False where the machine gives no more threads, so that those there are carry it."""
        try:
            sink = self._sinks.get(number) or self._sinks.setdefault(number, self._open_sink())
            thread = threading.Thread(target=self._run, args=(sink, number), name=f"uploader-{number + 1}", daemon=True)
            self._at_work.add(number)
            thread.start()
        except RuntimeError:
            self._at_work.discard(number)
            return False
        self._threads[number] = thread
        return True

    def abort(self) -> None:
        """End every exchange that is under way; from any thread."""
        for sink in list(self._sinks.values()):
            sink.abort()

    def close(self) -> None:
        """Wait for those at work, then close all connections."""
        for thread in self._threads.values():
            thread.join()
        self.resize(1)

    def _run(self, sink: Sink, number: int) -> None:
        fault = None
        try:
            self._work(sink, number)
        except Exception as error:  # the thread's outermost frame: the uploader ends with it, loudly
            fault = error
        self._at_work.discard(number)
        self._ended(fault)
