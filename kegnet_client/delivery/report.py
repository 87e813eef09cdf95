"""How the delivery stands, for two readers: one line for systemd, a state for ``kegnet-client status``."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from kegnet_client import __version__
from kegnet_client.core.records import format_celsius
from kegnet_client.core.retry_policy import LinkState
from kegnet_client.delivery.progress import Progress
from kegnet_client.spool.directory import printable

MAX_STUCK_TOLD = 20
"""So many files that cannot be taken are named; a producer that goes on making them must not fill what is written."""


def make_state(
    progress: Progress,
    started_ms: int,
    server: str,
    key: str | None,
    producers: Iterable[tuple[Mapping[str, Any], str | None]],
) -> dict[str, Any]:
    """The state of the process that was ``started_ms``; of each producer come its status and its problem."""
    of_delivery = [
        *_name_stuck(dict(progress.stuck)),
        *filter(None, (progress.spool_problem, progress.watch_problem)),
    ]
    state: dict[str, Any] = {
        "version": __version__,
        "started_ms": started_ms,
        "server": server,
        "key": key,
        "link": progress.link.value,
        "link_reason": progress.link_reason,
        "last_status": progress.last_status,
        "last_acknowledged_ms": progress.last_accepted_ms,
        "counters": {
            "accepted": progress.accepted,
            "rejected": progress.rejected,
            "deferred": progress.deferred,
            "misconfigured": progress.misconfigured,
        },
        "delivery_problems": of_delivery,
        "problems": list(of_delivery),
    }
    for status, problem in producers:
        state["counters"] |= status.get("counters", {})
        state |= {name: value for name, value in status.items() if name != "counters"}
        if problem:
            state["problems"].append(problem)
    return state


def make_sinks(progress: Mapping[str, Progress], servers: Mapping[str, str]) -> dict[str, Any]:
    """How each of several sinks stands, of which ``servers`` says where it is."""
    return {
        name: {
            "server": server,
            "link": progress[name].link.value,
            "link_reason": progress[name].link_reason,
            "last_acknowledged_ms": progress[name].last_accepted_ms,
            "accepted": progress[name].accepted,
        }
        for name, server in servers.items()
    }


def make_status_line(progress: Progress, temperatures: Iterable[Mapping[str, Any]], now_ms: int) -> str:
    """What ``systemctl status`` shows."""
    parts = [f"{progress.waiting} record{'' if progress.waiting == 1 else 's'} waiting"]
    if progress.last_accepted_ms:
        when = datetime.fromtimestamp(progress.last_accepted_ms / 1000).astimezone()
        today = datetime.fromtimestamp(now_ms / 1000).astimezone().date()
        parts.append(f"last acknowledged at {when:{'%H:%M:%S' if when.date() == today else '%Y-%m-%d %H:%M:%S'}}")
    parts += [format_celsius(one["millidegrees"]) for one in temperatures]
    if progress.link in (LinkState.DEFERRED, LinkState.MISCONFIGURED):
        parts.append(f"{progress.link.value}: {progress.link_reason}")
    parts += filter(None, (progress.spool_problem, progress.watch_problem))
    return ", ".join(parts)


def _name_stuck(stuck: Mapping[str, str]) -> list[str]:
    told = [f"{printable(name)} stays where it is: {why}" for name, why in islice(stuck.items(), MAX_STUCK_TOLD)]
    more = len(stuck) - len(told)
    return [*told, f"{more} more stay where they are"] if more else told
