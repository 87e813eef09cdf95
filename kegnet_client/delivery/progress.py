"""What was done and what is in the way, for the log's readers, systemd and ``status``."""

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
