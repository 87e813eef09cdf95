"""Which uploaders a configuration takes, and where each has its records from.

With one sink an uploader delivers from the spool itself. With several, one carries records from the spool into a queue
of each sink (`kegnet_client.spool.fan_out`), and each queue has an uploader of its own, so that none waits for another.
It stays so with one sink until its queue is empty at a start or a reload: nothing is sent out of turn.
"""

import logging
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from kegnet_client.core.errors import SpoolError
from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.base import Meanwhile, nothing
from kegnet_client.sinks.destinations import Destination
from kegnet_client.spool.directory import Spool
from kegnet_client.spool.fan_out import MAX_AT_ONCE, FanOut, find_queues, queue_path

log = logging.getLogger(__name__)

SPREADING = ""
"""The name, among those of the sinks, of what carries records into their queues."""

_TAKEN = Verdict(Disposition.ACCEPTED, "it is in the queues")


class SinkQueues:
    """The queues of ``destinations`` in ``spool``, opened where there may be any. Raises `SpoolError`."""

    def __init__(self, spool: Spool, destinations: Sequence[Destination]) -> None:
        self._spool = spool
        self._destinations = destinations
        self._opened = ExitStack()
        self._queues: dict[str, Spool] = {}
        self._fan_out: FanOut | None = None
        names = [one.name for one in destinations]
        try:
            if len(names) > 1 or find_queues(spool.path):
                self._open(names)
        except SpoolError as error:
            if len(names) > 1:
                raise
            # A neighbour may have put something there: it must not stop what needs no queue.
            log.warning("%s; nothing is delivered from there", error)

    def make_uploaders(
        self, clock: Clock, progress: defaultdict[str, Progress], changed: Callable[[], None] = lambda: None
    ) -> dict[str, Uploader]:
        """An uploader for each sink, and one for `SPREADING` before them where there are queues.

        To be called once nobody else delivers from the spool. `progress` has an entry for each, or gets one.
        """
        fan_out = self._fan_out
        if fan_out is None or (len(self._destinations) == 1 and not fan_out.has_waiting(self._destinations[0].name)):
            (one,) = self._destinations
            return {one.name: Uploader(self._spool, one.connect, clock, random.random, progress[one.name], changed)}
        spreading = Uploader(
            self._spool, _Taker, clock, random.random, progress[SPREADING], changed, take_out=fan_out.take
        )
        uploaders = {SPREADING: spreading}
        for one in self._destinations:
            uploaders[one.name] = Uploader(
                self._queues[one.name],
                one.connect,
                clock,
                random.random,
                progress[one.name],
                changed,
                label=f"{one.name}: ",
            )
        return uploaders

    def recover(self) -> None:
        """Go on with what was on its way into the queues when the process before this one ended."""
        if self._fan_out is None:
            return
        self._fan_out.recover()
        names = {one.name for one in self._destinations}
        try:
            queues = find_queues(self._spool.path)
        except SpoolError as error:
            log.warning("%s; what is in it is not counted", error)
            return
        for name, queue in queues.items():
            if name not in names and queue.waiting:
                log.warning("%d waiting for %s, which the configuration names no more; they stay", queue.waiting, name)

    def _open(self, names: Sequence[str]) -> None:
        self._fan_out = fan_out = FanOut(self._spool, names)
        for name in names:
            self._queues[name] = Spool(queue_path(self._spool.path, name), make=False, remake=fan_out.make_queues)
            self._opened.callback(self._queues[name].close)

    def close(self) -> None:
        """Give up the queues; the spool stays."""
        self._opened.close()


class _Taker:
    """The sink of what carries records into the queues: it takes all, and `FanOut.take` is what comes of it."""

    max_records = MAX_AT_ONCE
    max_connections = 1
    advice = "see what is in the spool"

    def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
        meanwhile()
        return [_TAKEN] * len(records)

    def abort(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is open."""
