"""Records to a Kegbot server of 1.0 to 1.3: a pour becomes a drink there, once, though the server knows no repetition.

One of 2.0 is told in another way (`kegnet_client.sinks.kegboard_event`), once it says which it is.

Before a pour is posted, that is noted on disk (`kegnet_client.sinks.kegbot_journal`). A post that ends in doubt (no
answer, a 5xx, our own end) makes that pour wait a minute, while others go on; then the server's drinks are searched for
its nonce, and it is posted again only if none has it. Ten minutes after that they are searched once more: of two drinks
of one pour, which a server that stored late has, the one with the higher id is cancelled.

Promise: one drink a pour, if the server stores within ten minutes of a post.
Limits: a drink that a person cancels while its pour is in doubt comes back. 1.2.3 cancels nothing that it is asked to:
the second drink is told, for a person to cancel. The server dates temperatures itself and keeps one a minute: others
are not told, nor one that waited for long.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kegnet_client.config.secret_file import read_secret
from kegnet_client.core.errors import ConfigError, TransportError, UntrustedServerError
from kegnet_client.core.records import Heartbeat, Pour, Reading, Record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire import kegbot_api as api
from kegnet_client.core.wire.answer import Answer
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.net.client import Transport
from kegnet_client.net.connection import MAX_ANSWER_BYTES
from kegnet_client.net.tls import client_context
from kegnet_client.sinks.base import Meanwhile, OpenSink, nothing
from kegnet_client.sinks.kegboard_event import KegboardEvents
from kegnet_client.sinks.kegbot_journal import DEADLINE_S, Entry, Journal
from kegnet_client.sinks.kegbot_section import KegbotSettings
from kegnet_client.sinks.kegbot_server import CallError, KegbotServer, Search

log = logging.getLogger(__name__)

DOUBT_S = 60.0
"""How long a pour waits after a post that ended in doubt."""
SWEEP_S = 600.0
"""How long after the last such post a second drink is looked for."""
SEARCH_S = 20.0
"""How long at a time the pages of drinks are searched, of which a server may have hundreds; then others go on."""
MAX_IN_DOUBT = 16
"""How many pours of one pin."""
HELD_S = 60.0
"""How long a pour waits whose tap cannot take it."""
TAPS_S = 60.0
"""How long it is trusted what the server said of its taps."""
_MOVED = (404, 410)
"""So answers what is not there, or not any more: it may be a server of 2.0 by now."""
OLD_READING_MS = 300_000
"""A temperature that waited for longer would get a wrong time there."""


class Kegbot:
    """Speaks to ``server`` as ``device``, a lower-case uuid. ``named`` are the meters of pins that have another name.

    ``open_journal`` is called once something is to be posted; whoever is ``beside`` a daemon leaves its journal alone.
    """

    max_records = 1
    max_connections = 1
    advice = api.KEGBOT_ADVICE

    def __init__(
        self,
        device: str,
        server: KegbotServer,
        named: Mapping[int, str],
        open_journal: Callable[[], Journal],
        clock: Clock,
        *,
        beside: bool = False,
    ) -> None:
        self._device = device
        self._server = server
        self._named = named
        self._open_journal = open_journal
        self._clock = clock
        self._beside = beside
        self._journal: Journal | None = None
        self._events: KegboardEvents | None = None
        """What speaks to a server of 2.0."""
        self._has_met = False
        self._taps: Mapping[str, api.Tap] = {}
        self._taps_until_s = 0.0
        self._highest = 0
        self._minute = 0
        self._told: set[str] = set()
        """The sensors of which a temperature was told in ``_minute``."""
        self._searches: dict[int, Search] = {}
        """Those that were left in the middle, by their nonces."""
        self._unswept = Condition(log)
        self.abort = server.abort

    def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
        """What came of sending the one in ``records``."""
        meanwhile()
        self._server.begin()
        try:
            return [self._send(*records)]
        except CallError as error:
            # Whatever is asked next, whether it is there at all is asked first.
            self._taps_until_s = 0.0
            self._has_met &= error.verdict.code not in _MOVED
            return [error.verdict]
        except ConfigError as error:
            return [Verdict(Disposition.MISCONFIGURED, str(error))]
        except OSError as error:
            where = self._journal.path if self._journal else "the journal"
            return [Verdict(Disposition.DEFERRED, f"{where}: cannot be written ({error.strerror}); nothing is posted")]

    def close(self) -> None:
        """Close the connection."""
        self._server.close()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _send(self, record: Record | Heartbeat) -> Verdict:
        taps = self._greet()
        if self._events is not None:
            # It drops what has no keg: what it said of its taps a minute ago will not do.
            taps = self._server.ask_taps() if isinstance(record, Pour) else taps
            return self._events.send(record, taps)
        if not self._beside:
            try:
                self._sweep()
            except CallError:  # there is another time for that, and the record may still find a server
                self._taps_until_s = 0.0
                taps = self._greet()
        match record:
            case Pour():
                return self._send_pour(record, taps)
            case Reading():
                return self._send_reading(record)
            case Heartbeat():  # pragma: no branch (mypy sees that there is no fourth)
                return Verdict(Disposition.ACCEPTED, "the server told its taps", 200)

    def _greet(self) -> Mapping[str, api.Tap]:
        """The server's taps, asked anew where that was long ago or the last call failed. Raises `CallError`."""
        now_s = self._clock.monotonic_s()
        if now_s < self._taps_until_s:
            return self._taps
        if not self._has_met:
            log.info("Querying backend liveness.")
        if not self._has_met or self._events is not None:  # its upgrade may be taken back
            self._meet()
        taps = self._server.ask_taps()
        if not self._has_met:
            log.info("Backend appears to be alive.")
            log.info("Found %d %s, adding to tap manager.", len(taps), "tap" if len(taps) == 1 else "taps")
        for meter in sorted(taps.keys() - self._taps.keys()):
            log.info("Registering new tap: %s", meter)
        self._has_met, self._taps, self._taps_until_s = True, taps, now_s + TAPS_S
        return taps

    def _meet(self) -> None:
        """See which server it is, whether it takes the key, and how far its drinks are."""
        version = self._server.ask("version")
        if api.is_later_version(version):
            self._events = self._events or KegboardEvents(self._device, self._server, self._journal_here, self._clock)
            return
        if version.status != 200:
            raise CallError(self._server.refusal("version", version))
        self._events = None
        # All else may be asked without a key, where guests may look.
        status = self._server.ask("status")
        if status.status != 200 and not api.is_unknown(status):
            raise CallError(self._server.refusal("status", status))
        self._highest = max((drink.id for drink in self._server.ask_drinks()), default=0)

    def _send_pour(self, pour: Pour, taps: Mapping[str, api.Tap]) -> Verdict:
        journal = self._journal_here()
        nonce = api.nonce_of(pour, self._device)
        entry = journal.entries.get(nonce)
        if entry is not None:
            entry.pin = pour.pin
            if (verdict := self._resolve(nonce, entry)) is not None:
                return verdict
        elif self._in_doubt(pour.pin) >= MAX_IN_DOUBT:
            return _wait(f"{MAX_IN_DOUBT} pours of pin {pour.pin} are in doubt already", DOUBT_S)
        meter = api.find_meter(taps, pour.pin, self._named)
        if (problem := _find_problem(meter, pour.pin, taps)) is not None or meter is None:
            return _wait(problem or "", HELD_S)
        return self._post(pour, meter, nonce)

    def _resolve(self, nonce: int, entry: Entry) -> Verdict | None:
        """What is known of a pour that was posted before; None where it is certain enough that it is no drink."""
        if entry.stored.drink is None:
            left_s = entry.tried_s + DOUBT_S - self._clock.monotonic_s()
            if left_s > 0:
                return _wait("whether it is a drink already is in doubt; it is looked for soon", left_s)
            found = self._find(nonce, entry)
            if found is None:
                return _wait("whether it is a drink already is being looked for", SEARCH_S)
            if not found:
                return None
            self._journal_here().settle(nonce, found[0])
        return Verdict(Disposition.ACCEPTED, f"it is drink {entry.stored.drink} there", 200)

    def _find(self, nonce: int, entry: Entry) -> list[int] | None:
        """The drinks with ``nonce``, the lowest id first; None where the search goes on the next time."""
        until_s = self._clock.monotonic_s() + SEARCH_S
        search = self._searches.pop(nonce, None) or Search()
        while self._server.search_page(search, nonce, entry.stored.highest):
            if self._clock.monotonic_s() >= until_s:
                self._searches[nonce] = search
                return None
        return sorted(search.found)

    def _in_doubt(self, pin: int) -> int:
        """How many pours of ``pin`` are in doubt, of those that somebody may still be waiting for.

        A pin's own, because one tap whose posts fail must not hold up the others. What an earlier process posted may be
        of any pin until its pour comes again, which it does soon if it still waits.
        """
        now_s = self._clock.monotonic_s()
        return sum(
            1
            for one in self._journal_here().entries.values()
            if one.stored.drink is None
            and one.pin in (None, pin)
            and one.tried_s > now_s - (DOUBT_S if one.pin is None else SWEEP_S)
        )

    def _post(self, pour: Pour, meter: str, nonce: int) -> Verdict:
        journal = self._journal_here()
        was_in_doubt = nonce in journal.entries
        self._server.check_time()
        journal.begin(nonce, self._highest, pour.pin)
        path = api.tap_path(meter)
        try:
            answer = self._server.post(path, api.format_pour(pour, meter, nonce, self._clock.wall_ms()))
        except UntrustedServerError as error:  # it has not seen a byte
            self._undo(nonce, was_in_doubt)
            raise CallError(self._server.silence(error)) from None
        except TransportError as error:
            self._doubt(nonce)
            raise CallError(self._server.silence(error)) from None
        if 200 <= answer.status < 300:
            return self._see_drink(nonce, answer)
        verdict = self._server.refusal(path, answer)
        if verdict.disposition is Disposition.DEFERRED:
            self._doubt(nonce)
            raise CallError(verdict)
        self._undo(nonce, was_in_doubt)
        self._taps_until_s = 0.0
        self._has_met &= answer.status not in _MOVED
        if answer.status not in (400, 404):
            return verdict
        # It may be the tap that changed meanwhile, and not the pour that is wrong.
        problem = _find_problem(meter, pour.pin, self._greet())
        if problem is not None or answer.status == 404 or was_in_doubt:
            return _wait(problem or verdict.reason, HELD_S)
        said = f"the server answered {answer.status}{api.find_error(answer)}"
        return Verdict(Disposition.REJECTED, said, answer.status)

    def _see_drink(self, nonce: int, answer: Answer) -> Verdict:
        try:
            drink = api.parse_drink(answer)
        except api.AnswerError:
            drink = None
        if drink is None or (drink.nonces is not None and nonce not in drink.nonces):
            # It may be the answer to something else.
            self._doubt(nonce)
            said = f"the server answered {answer.status} with something else than the drink"
            raise CallError(Verdict(Disposition.DEFERRED, said, answer.status, record_may_be_the_cause=True))
        self._journal_here().settle(nonce, drink.id)
        self._highest = max(self._highest, drink.id)
        return Verdict(Disposition.ACCEPTED, f"the server answered {answer.status}: drink {drink.id}", answer.status)

    def _doubt(self, nonce: int) -> None:
        self._server.hang_up()
        self._journal_here().doubt(nonce)

    def _undo(self, nonce: int, was_in_doubt: bool) -> None:
        """This post came to nothing; one before may have come to something."""
        if not was_in_doubt:
            self._journal_here().forget(nonce)

    def _send_reading(self, reading: Reading) -> Verdict:
        now_ms = self._clock.wall_ms()
        if now_ms - reading.taken_ms > OLD_READING_MS:
            return Verdict(Disposition.ACCEPTED, "not told: the server would date it now")
        if (minute := now_ms // 60_000) != self._minute:
            self._minute, self._told = minute, set()
        if reading.sensor in self._told:
            return Verdict(Disposition.ACCEPTED, "not told: the server keeps one a minute")
        path = api.sensor_path(reading.sensor)
        try:
            answer = self._server.post(path, api.format_temperature(reading))
        except TransportError as error:
            raise CallError(self._server.silence(error)) from None
        if answer.status == 200:
            self._told.add(reading.sensor)
            return Verdict(Disposition.ACCEPTED, "the server answered 200", 200)
        if answer.status == 400 and (why := api.find_error(answer)):
            return Verdict(Disposition.REJECTED, f"the server answered 400{why}", 400)
        raise CallError(self._server.refusal(path, answer))

    def _sweep(self) -> None:
        """See to one pour that may have become two drinks. Raises `CallError`."""
        journal = self._journal_here()
        journal.forget_old()
        now_s = self._clock.monotonic_s()
        due = (
            (nonce, one)
            for nonce, one in journal.entries.items()
            if one.stored.drink is not None
            and one.stored.may_be_two
            and now_s >= max(one.tried_s + SWEEP_S, one.look_s)
        )
        for nonce, entry in due:
            entry.look_s = now_s + DOUBT_S
            # One that the server does not cancel is not looked for on all pages again, until a person cancels either.
            if not entry.found or not self._server.has(entry.found[0], nonce):
                found = self._find(nonce, entry)
                if found is None:
                    return
                entry.found = found
            for drink in entry.found[1:]:
                self._cancel(drink, nonce)
            journal.swept(nonce)
            self._unswept.end()
            return

    def _cancel(self, drink: int, nonce: int) -> None:
        """Cancel ``drink``, if it still is the one with ``nonce``. Raises `CallError` if it stays."""
        if not self._server.has(drink, nonce):
            return
        try:
            self._server.cancel(drink)
        except TransportError as error:
            raise CallError(self._server.silence(error)) from None
        if self._server.has(drink, nonce):
            problem = f"a pour is drink {drink} too, which the server does not cancel"
            self._unswept.begin(problem, f"{problem}; cancel it there", key=drink)
            raise CallError(Verdict(Disposition.DEFERRED, problem, others_go_on=True))
        log.info("a pour was two drinks; drink %d is cancelled", drink)

    def _journal_here(self) -> Journal:
        if self._journal is None:
            self._journal = self._open_journal()
        return self._journal


def _find_problem(meter: str | None, pin: int, taps: Mapping[str, api.Tap]) -> str | None:
    """Why a pour on ``pin`` cannot be a drink at ``meter``, and what to do."""
    if meter is None or meter not in taps:
        there = ", ".join(sorted(taps)) or "none"
        which = f"no one tap there has a meter .flow{pin}" if meter is None else f"there is no tap with meter {meter}"
        return f"pin {pin}: {which} (there are: {there}); make it there, or name its meter with taps under [Kegbot]"
    if not taps[meter].has_keg:
        return f"the tap with meter {meter} has no keg; put one on it at the server"
    return None


def _wait(reason: str, seconds: float) -> Verdict:
    return Verdict(Disposition.DEFERRED, reason, retry_after_s=seconds, others_go_on=True)


def connect(settings: KegbotSettings, device: str, clock: Clock, *, beside: bool = False) -> OpenSink:
    """Opens connections to the configured server as ``device``. Raises `ConfigError` at once."""
    key = _read_key(settings.api_key_file)
    context = client_context(settings.ca_bundle) if settings.api.url.startswith("https:") else None

    def make_transport() -> Transport:
        # A page of drinks is long: each brings its user, its keg and its session.
        return Transport(
            context, DEADLINE_S, clock.wall_ms, setting="apiUrl", resets=True, max_body_bytes=MAX_ANSWER_BYTES
        )

    def open_sink() -> Kegbot:
        server = KegbotServer(settings.api, key, make_transport(), clock)
        return Kegbot(
            device.lower(), server, settings.taps or {}, lambda: Journal(settings.journal, clock), clock, beside=beside
        )

    return open_sink


def _read_key(path: Path) -> str | None:
    """The API key; None where nobody put one there: a server of 2.0 wants none, and one before says so."""
    with contextlib.suppress(OSError):
        if path.stat().st_size == 0:
            return None
    if not os.path.lexists(path):
        return None
    key = read_secret(path, "apiKeyFile", "API key")
    if not api.is_key(key):
        raise ConfigError(
            f"{path}: apiKeyFile: its first line is no API key, which is letters and digits, 16 at least; copy it from "
            "the server's page of your account"
        )
    return key
