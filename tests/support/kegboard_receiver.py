"""A Kegbot server of 2.0 as it is known to behave, in memory: what Kegboards tell it, paired by a person.

It acknowledges a pour of a meter without a tap or a keg and drops it, and events whose ids are not above the highest
of the same boot.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.kegboard_event import Event, parse_envelope

from .clock import FakeClock

TOKEN = "kbe_" + "0123456789" * 4


@dataclass(frozen=True, slots=True)
class EventDrink:
    """A drink; ``ended_s`` is the Unix time of its end."""

    meter: str
    volume_ml: float
    duration_ms: int
    ended_s: float


class KegboardReceiver:
    """``taps`` says of each meter that has a tap whether there is a keg; ``pairing`` is how that stands."""

    def __init__(self, clock: FakeClock) -> None:
        self.pairing = "pending"
        self.token: str | None = None
        self.taps: dict[str, bool] = {}
        self.meters: dict[str, float] = {}
        self.drinks: dict[str, EventDrink] = {}
        self.temperatures: list[tuple[str, float, float]] = []
        self.ids: list[tuple[str, int]] = []
        self.dropped = 0
        self._clock = clock
        self._marks: dict[str, int] = {}

    def handle(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", late_s: float = 0) -> Answer:
        """The answer to a request."""
        del late_s
        match method, url.partition("/api/")[2]:
            case "GET", "v1/taps":
                taps = [
                    {"meter_name": meter, "ml_per_tick": self.meters.get(meter, 0.5)}
                    | ({"current_keg_id": 3} if has_keg else {})
                    for meter, has_keg in self.taps.items()
                ]
                return _json(200, {"objects": taps, "meta": {"result": "ok"}})
            case "GET", _:
                return _json(410, {"error": {"code": "GoneError", "message": "gone"}})
            case "POST", "kegboard-event":
                return self._hear(headers.get("Authorization"), body)
            case _:
                return _json(404, {})

    def work(self) -> None:
        """It has no workers."""

    def _hear(self, authorization: str | None, body: bytes) -> Answer:
        envelope = parse_envelope(body)
        if self.token is None or authorization != f"Bearer {self.token}":
            if self.pairing != "allowed":
                return _json(401, {"pairing": {"state": self.pairing}})
            self.pairing, self.token = "paired", TOKEN
            return _json(401, {"pairing": {"state": "allowed", "token": TOKEN}})
        for number, event in envelope.events.items():
            if number <= self._marks.get(envelope.boot_id, 0):
                continue
            self._marks = {envelope.boot_id: number}
            self.ids.append((envelope.boot_id, number))
            self._take(envelope.device, event)
        return _json(200, {"commands": []})

    def _take(self, device: str, event: Event) -> None:
        data, at_s = dict(event.data), (self._clock.now_ms - event.age_ms) / 1000
        match event.kind:
            case "pour":
                meter = f"{device}.flow{data['meter_number']}"
                if not self.taps.get(meter) or not float(str(data["volume_ml"])) > 0:
                    self.dropped += 1
                    return
                drink = EventDrink(meter, float(str(data["volume_ml"])), int(str(data["duration_ms"])), at_s)
                self.drinks.setdefault(str(data["pour_id"]), drink)
            case "temperature":
                self.temperatures.append((str(data["sensor"]), float(str(data["temp_c"])), at_s))
            case "status":
                meters = data.get("meters", [])
                assert isinstance(meters, list)
                self.meters |= {f"{device}.flow{one['meter_number']}": one["ml_per_tick"] for one in meters}


def _json(status: int, content: Mapping[str, object]) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(content).encode())
