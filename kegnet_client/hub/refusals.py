"""What the hub refuses, in its log: why a device does not arrive, and that someone tries codes.

Nobody who is refused has proven who they are, so that a sender is its address, and the device is its own word. The
same is told once of a sender, and again only after something was taken from it. How much can be told of one sender,
of how many senders is remembered, and how much is told of all of them in a minute, is bounded: whoever makes things up
fills neither the log nor the memory. What the minute had no room for counts as not told.
"""

import logging
from collections import OrderedDict

from starlette.requests import HTTPConnection

from kegnet_client.core.errors import KegnetError
from kegnet_client.core.wire.forms import is_uuid
from kegnet_client.hub.connections import plain_address
from kegnet_client.hub.log_rate import REFUSED, LogRate

MAX_SENDERS = 256
MAX_TOLD = 16
_MAX_CHARACTERS = 300

_log = logging.getLogger(__name__)


class Refusals:
    """One line for each change. To be used by the event loop alone."""

    def __init__(self, rate: LogRate) -> None:
        self._rate = rate
        self._told: OrderedDict[str, set[tuple[str, str]]] = OrderedDict()

    def tell(self, request: HTTPConnection, device: str, error: KegnetError) -> None:
        """``request``, which says that it is from ``device`` (or does not say), is refused because of ``error``."""
        sender, device, why = _address(request), _uuid(device), _one_line(str(error))
        told = self._told.setdefault(sender, set())
        self._told.move_to_end(sender)
        if len(self._told) > MAX_SENDERS:
            self._told.popitem(last=False)
        if (device, why) in told or len(told) == MAX_TOLD or not self._rate.allows(REFUSED):
            return
        told.add((device, why))
        claim = f", which says it is {device}," if device else ""
        rest = "; what else it is refused for is not told any more" if len(told) == MAX_TOLD else ""
        _log.warning("%s%s is refused: %s%s", sender, claim, why, rest)

    def over(self, request: HTTPConnection, device: str) -> None:
        """Something from ``device`` was taken: what it is refused for from now on is news."""
        told = self._told.get(_address(request), set())
        told -= {(who, why) for who, why in told if who in ("", _uuid(device))}


def _address(request: HTTPConnection) -> str:
    """The sender's, or what the trusted proxy says it is."""
    return _one_line(plain_address("" if request.client is None else request.client.host))


def _uuid(text: str) -> str:
    return text.lower() if is_uuid(text) else ""


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:_MAX_CHARACTERS])
