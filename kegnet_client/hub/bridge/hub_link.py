"""The way to the hub: which controllers it has, and what is published there.

What cannot be published now waits, the newest of each controller and channel; a message that the hub will never take
is dropped with a line in the log.
"""

import json
import threading
from collections.abc import Mapping
from typing import Any

from kegnet_client.core.errors import ServerRefusalError, TransportError
from kegnet_client.core.wire import brewpi
from kegnet_client.core.wire.answer import Answer, quote
from kegnet_client.hub.domain.numerals import Language
from kegnet_client.net.client import Transport


class MessageError(ServerRefusalError):
    """The hub takes this message never: drop it."""


class HubLink:
    """The hub at ``url``, asked with ``token``; `publish` may be called by any thread, the others by one."""

    def __init__(self, url: str, token: str, transport: Transport) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._transport = transport
        self._waiting: dict[tuple[str, int], bytes] = {}
        self._came = threading.Condition()

    def controllers(self) -> list[brewpi.Controller]:
        """Those that the hub has. Raises `TransportError`, `ServerRefusalError`."""
        url = f"{self._url}/iocontrollers"
        answer = self._transport.get(url, self._headers)
        self._judge(answer)
        if answer.status == 200:
            try:
                return brewpi.parse_controllers(answer.body)
            except ValueError as error:
                raise ServerRefusalError(f"{url}: {error}") from None
        raise ServerRefusalError(f"{url}: it answered {answer.status}{quote(answer.body)}; see that this is a hub")

    def language(self) -> Language:
        """That of the hub's settings; English where it tells none. Raises `TransportError`, `ServerRefusalError`."""
        answer = self._transport.get(f"{self._url}/api/settings", self._headers)
        self._judge(answer)
        try:
            told = json.loads(answer.body)["language"]
        except (ValueError, TypeError, KeyError, RecursionError):
            told = None
        return "de" if told == "de" else "en"

    def publish(self, channel: str, number: int, payload: Mapping[str, Any]) -> None:
        """Have ``payload`` published soon, in the place of what waits of the controller ``number`` there."""
        with self._came:
            self._waiting.pop((channel, number), None)
            self._waiting[channel, number] = brewpi.publication(channel, payload)
            self._came.notify()

    def wait(self, seconds: float) -> None:
        """Until something is to be published, or for so long, or until `wake`."""
        with self._came:
            if not self._waiting:
                self._came.wait(seconds)

    def wake(self) -> None:
        """End `wait`."""
        with self._came:
            self._came.notify_all()

    def send(self) -> int:
        """Publish what waits; how much it was. What is not taken for now waits on.

        Raises `TransportError`, `ServerRefusalError`; with `MessageError` the one in question is gone.
        """
        sent = 0
        while (found := self._take()) is not None:
            key, form = found
            try:
                answer = self._transport.post(f"{self._url}/publish", brewpi.FORM, form, self._headers)
                self._judge(answer)
            except (TransportError, ServerRefusalError):
                self._put_back(key, form)
                raise
            if not 200 <= answer.status < 300:
                raise MessageError(f"{self._url}/publish: it answered {answer.status}{quote(answer.body)}")
            sent += 1
        return sent

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _take(self) -> tuple[tuple[str, int], bytes] | None:
        with self._came:
            key = next(iter(self._waiting), None)
            return None if key is None else (key, self._waiting.pop(key))

    def _put_back(self, key: tuple[str, int], form: bytes) -> None:
        with self._came:
            # First again, unless a newer one has come meanwhile.
            self._waiting = {key: form} | self._waiting

    def _judge(self, answer: Answer) -> None:
        """Raise for an ``answer`` that says nothing of what was asked."""
        if answer.status in (401, 403):
            raise ServerRefusalError(
                f"{self._url} refuses the token{quote(answer.body)}; make one that may operate: "
                "kegnet-client hub token make bridge --role operate"
            )
        if answer.status in (408, 425, 429) or answer.status >= 500:
            raise TransportError(f"it answered {answer.status}{quote(answer.body)}")
