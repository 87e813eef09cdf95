"""The calls of a Kegbot server, one after the other over one connection.

What is not answered well is a `CallError`, whose verdict is ready for the delivery.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from kegnet_client.core.errors import KegnetError, TransportError
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire import kegboard_event
from kegnet_client.core.wire import kegbot_api as api
from kegnet_client.core.wire.answer import Answer, judge_silence
from kegnet_client.core.wire.base_url import ServerUrl
from kegnet_client.host.clock import Clock

_T = TypeVar("_T")

CALLS_S = 90.0
"""How long after the first call for a record another one may begin. That, and the last two answers, take less time than
the watchdog waits."""

FIRST_ID_MARGIN = 100
"""How far below the highest id known before a drink may be: old databases use ids again after a cancel."""


@dataclass(slots=True)
class Search:
    """How far a search among the drinks has come: it goes on with those whose id is not above ``start``."""

    start: int | None = None
    found: set[int] = field(default_factory=set)


class Carrier(Protocol):
    """One exchange at a time: `kegnet_client.net.client.Transport`."""

    def get(self, url: str, more_headers: Mapping[str, str] | None = None) -> Answer: ...

    def post(
        self, url: str, content_type: str, body: bytes, more_headers: Mapping[str, str] | None = None
    ) -> Answer: ...

    def hang_up(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class CallError(KegnetError):
    """A call had no good answer: ``verdict`` says what that means."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class KegbotServer:
    """The server whose API is at ``address``, asked with the API ``key``, if any."""

    def __init__(self, address: ServerUrl, key: str | None, carrier: Carrier, clock: Clock) -> None:
        self._address = address
        self._headers = {} if key is None else {api.KEY_HEADER: key}
        self._carrier = carrier
        self._clock = clock
        self._until_s = math.inf
        self.hang_up = carrier.hang_up
        self.abort = carrier.abort
        self.close = carrier.close

    def begin(self) -> None:
        """The calls from here on are for another record."""
        self._until_s = self._clock.monotonic_s() + CALLS_S

    def check_time(self) -> None:
        """Raise `CallError` where the calls for this record have taken too long for another one."""
        if self._clock.monotonic_s() >= self._until_s:
            said = f"{self._address.host}:{self._address.port} answers so slowly that {CALLS_S:g} s were not enough"
            raise CallError(Verdict(Disposition.DEFERRED, said))

    def ask(self, path: str) -> Answer:
        """What it answers to the question for ``path``, good or not."""
        self.check_time()
        try:
            return self._carrier.get(self.url(path), self._headers)
        except TransportError as error:
            raise CallError(self.silence(error)) from None

    def ask_taps(self) -> dict[str, api.Tap]:
        """Its taps, by their meters."""
        return self._good("taps", self.ask("taps"), api.parse_taps)

    def ask_drinks(self, start: int | None = None) -> list[api.Drink]:
        """A page of drinks, the highest id first: all, or those whose id is not above ``start``."""
        path = "drinks" if start is None else f"drinks?start={start}"
        answer = self.ask(path)
        drinks = self._good(path, answer, api.parse_drinks)
        if start is not None and drinks and drinks[0].id > start:
            raise CallError(api.judge_nonsense(answer, self.url(path)))  # it would go on like this for ever
        return drinks

    def search_page(self, search: Search, nonce: int, highest: int) -> bool:
        """Look at one more page for drinks with ``nonce``; whether there may be more of them below.

        ``highest`` was known before the first of them.
        """
        page = self.ask_drinks(search.start)
        search.found.update(drink.id for drink in page if drink.nonces is not None and nonce in drink.nonces)
        if not page or page[-1].id <= max(1, highest - FIRST_ID_MARGIN):
            return False
        search.start = page[-1].id - 1
        return True

    def has(self, drink: int, nonce: int) -> bool:
        """Whether there is a ``drink`` with ``nonce``."""
        path = f"drinks/{drink}"
        answer = self.ask(path)
        if api.is_unknown(answer):
            return False
        nonces = self._good(path, answer, api.parse_drink).nonces
        return nonces is not None and nonce in nonces

    def cancel(self, drink: int) -> None:
        """Cancel ``drink``; whether it is gone is another question, as some answer 500 to what they did."""
        self.post("cancel-drink", api.format_cancel(drink))

    def post(self, path: str, body: bytes) -> Answer:
        """The answer to ``body``, good or not. Raises `TransportError`."""
        return self._carrier.post(self.url(path), api.CONTENT_TYPE, body, self._headers)

    def post_event(self, body: bytes, token: str | None) -> Answer:
        """The answer to the events in ``body``, good or not. Raises `TransportError`."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self._carrier.post(kegboard_event.events_url(self._address), kegboard_event.CONTENT_TYPE, body, headers)

    def event_refusal(self, answer: Answer) -> Verdict:
        """What an answer to events means that says nothing of a record."""
        return api.judge_refusal(answer, kegboard_event.events_url(self._address), self._clock.wall_ms())

    @property
    def host(self) -> str:
        """Where it is."""
        return self._address.host

    def url(self, path: str) -> str:
        """Where ``path`` is."""
        return f"{self._address.url}/{path}"

    def silence(self, error: TransportError) -> Verdict:
        """What it means that there was no answer."""
        return judge_silence(error, f"{self._address.host}:{self._address.port}")

    def refusal(self, path: str, answer: Answer) -> Verdict:
        """What an answer means that says nothing of a record."""
        return api.judge_refusal(answer, self.url(path), self._clock.wall_ms())

    def _good(self, path: str, answer: Answer, parse: Callable[[Answer], _T]) -> _T:
        if answer.status != 200:
            raise CallError(self.refusal(path, answer))
        try:
            return parse(answer)
        except api.AnswerError:
            raise CallError(api.judge_nonsense(answer, self.url(path))) from None
