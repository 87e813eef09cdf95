"""What was done and what is in the way, for the log's readers, systemd and ``status``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kegnet_client.core.retry_policy import LinkState


@dataclass(slots=True)
class Progress:
    """The uploader's account of itself; other threads read it as it is at that moment.

    ``waiting`` is how many records are known to wait.
    """

    accepted: int = 0
    rejected: int = 0
    deferred: int = 0
    misconfigured: int = 0
    was_refused: bool = False
    """Whether the server did not take this device, or did not prove to be the server, at least once."""
    waiting: int = 0
    last_accepted_ms: int | None = None
    last_status: int | None = None
    link: LinkState = LinkState.UNTRIED
    link_reason: str = ""
    stuck: dict[str, str] = field(default_factory=dict)
    watch_problem: str | None = None
    spool_problem: str | None = None


_WORST = (LinkState.MISCONFIGURED, LinkState.DEFERRED, LinkState.UNTRIED, LinkState.UP)


def add_up(progress: Mapping[str, Progress], sinks: Mapping[str, object]) -> Progress:
    """How it goes altogether: the ``sinks`` among ``progress``, and whatever else is in it, which is no sink.

    The link is the one that is in the worst state.
    """
    if len(progress) == 1:
        return next(iter(progress.values()))
    whole = Progress()
    for one in progress.values():
        whole.rejected += one.rejected
        whole.waiting += one.waiting
        whole.stuck |= one.stuck
        whole.watch_problem = whole.watch_problem or one.watch_problem
        whole.spool_problem = whole.spool_problem or one.spool_problem
    of_sinks = [progress[name] for name in sinks]
    for one in of_sinks:
        whole.accepted += one.accepted
        whole.deferred += one.deferred
        whole.misconfigured += one.misconfigured
        whole.was_refused |= one.was_refused
    whole.last_accepted_ms = max((one.last_accepted_ms for one in of_sinks if one.last_accepted_ms), default=None)
    worst = min(of_sinks, key=lambda one: _WORST.index(one.link))
    whole.link, whole.link_reason, whole.last_status = worst.link, worst.link_reason, worst.last_status
    return whole
