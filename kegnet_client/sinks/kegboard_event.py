"""Records to a Kegbot server of 2.0, as a Kegboard's events: paired by a person, each pour once by its ``pour_id``.

The server acknowledges a pour of a meter without a tap or a keg, and drops it: so its taps are asked first, and such a
pour waits. What was posted to it before its upgrade from 1.x is not told again: its drinks cannot be searched any more,
so a pour whose post had ended in doubt is rejected, for a person to look.
Limit: a keg that ends within the second between is seen too late, and that pour is lost.
"""

import secrets
from collections.abc import Callable, Mapping

from kegnet_client import __version__
from kegnet_client.core.errors import TransportError
from kegnet_client.core.records import Heartbeat, Pour, Reading, Record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire import kegboard_event as wire
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.kegbot_api import Tap, nonce_of
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.kegbot_journal import Journal
from kegnet_client.sinks.kegbot_server import CallError, KegbotServer

HELD_S = 60.0
_IN_DOUBT = (
    "it was sent before the server was upgraded to 2.0, which did not answer, and may be a drink there: look, and if "
    "it is none put it back with `kegnet-client rejected retry`"
)


class KegboardEvents:
    """Tells ``server`` what the device with the lower-case ``uuid`` has; ``journal`` keeps the token."""

    def __init__(self, uuid: str, server: KegbotServer, journal: Callable[[], Journal], clock: Clock) -> None:
        self._uuid = uuid
        self._name = wire.name_device(uuid)
        self._server = server
        self._journal = journal
        self._clock = clock
        self._started_s = clock.monotonic_s()
        # A server that knows the ids of this one takes no lower ones of it: so each process is another boot.
        self._boot_id = secrets.token_hex(4)
        self._last_id = 0
        self._shown: set[int] = set()
        self._rejected: set[int] = set()
        """The nonces of those pours in doubt that this process has rejected."""

    def send(self, record: Record | Heartbeat, taps: Mapping[str, Tap]) -> Verdict:
        """What came of telling of ``record``, at the server with ``taps``. Raises `CallError`, `OSError`."""
        now_ms = self._clock.wall_ms()
        match record:
            case Pour():
                return self._recall(record) or self._send_pour(record, taps, now_ms)
            case Reading():
                return self._tell(wire.make_temperature(record, now_ms))
            case Heartbeat():  # pragma: no branch (mypy sees that there is no fourth)
                return self._tell(wire.make_status(__version__, self._uptime_ms(), {}))

    def _recall(self, pour: Pour) -> Verdict | None:
        """What became of ``pour`` where it was posted to the server before its upgrade."""
        journal = self._journal()
        nonce = nonce_of(pour, self._uuid)
        if (entry := journal.entries.get(nonce)) is None:
            return None
        if (drink := entry.stored.drink) is not None:
            return Verdict(Disposition.ACCEPTED, f"it became drink {drink} there before its upgrade", 200)
        if nonce in self._rejected:  # a person has put it back
            self._rejected.remove(nonce)
            journal.forget(nonce)
            return None
        # A process that is killed before it has moved the file must find it in doubt again.
        self._rejected.add(nonce)
        return Verdict(Disposition.REJECTED, _IN_DOUBT)

    def _send_pour(self, pour: Pour, taps: Mapping[str, Tap], now_ms: int) -> Verdict:
        meter = wire.name_meter(self._name, pour.pin)
        tap = taps.get(meter)
        if tap is None or not tap.has_keg:
            if tap is None and pour.pin not in self._shown:
                # The server makes the meter when it first hears of it: then a person can give it a tap.
                self._tell(wire.make_status(__version__, self._uptime_ms(), {pour.pin: wire.DEFAULT_ML_PER_TICK}))
                self._shown.add(pour.pin)
            what = f"no tap has the meter {meter}" if tap is None else f"the tap with meter {meter} has no keg"
            remedy = "give it one at the server" if tap is None else "put one on it at the server"
            return Verdict(Disposition.DEFERRED, f"{what}; {remedy}", retry_after_s=HELD_S, others_go_on=True)
        return self._tell(wire.make_pour(pour, self._uuid, tap.ml_per_tick or wire.DEFAULT_ML_PER_TICK, now_ms))

    def _tell(self, event: wire.Event) -> Verdict:
        token = self._journal().read_token()
        answer, pairing = self._post(event, token)
        if pairing is not None and pairing.token is not None:
            # It comes once: kept before it is used.
            self._journal().keep_token(pairing.token)
            self._shown.clear()  # it may have been set up anew, and know no meter
            answer, pairing = self._post(event, pairing.token)
        elif pairing is not None and token is not None:
            # A token that is not taken any more is how a pairing is ended: it begins anew.
            self._journal().drop_token()
        if pairing is not None:
            raise CallError(wire.judge_unpaired(pairing, self._name, self._server.host))
        if wire.is_heard(answer):
            return Verdict(Disposition.ACCEPTED, f"the server answered {answer.status}", answer.status)
        if (invalid := wire.judge_invalid(answer)) is not None:
            return invalid
        raise CallError(self._server.event_refusal(answer))

    def _post(self, event: wire.Event, token: str | None) -> tuple[Answer, wire.Pairing | None]:
        self._last_id += 1
        body = wire.format_envelope(self._name, self._boot_id, self._uptime_ms(), self._last_id, [event])
        try:
            answer = self._server.post_event(body, token)
        except TransportError as error:
            raise CallError(self._server.silence(error)) from None
        return answer, wire.parse_pairing(answer)

    def _uptime_ms(self) -> int:
        return int((self._clock.monotonic_s() - self._started_s) * 1000)
