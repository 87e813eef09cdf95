"""A Kegbot server of 1.2 or 1.3 as it is known to behave, in memory, on the tests' clock.

Two equal posts make two drinks. A worker may store a drink long after whoever posted it has gone. ``cancel-drink``
answers 500 to what it did. Drinks come in pages of 100, the highest id first; ids jump, and on an old database that of
a drink that was cancelled is used again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from urllib.parse import parse_qsl, unquote, urlsplit

from kegnet_client.core.wire.answer import Answer

from .clock import FakeClock

KEY = "0123456789abcdef0123456789abcdef"
PAGE = 100


@dataclass(frozen=True, slots=True)
class StoredDrink:
    """A drink; ``at_s`` is its Unix time."""

    meter: str
    ticks: int
    at_s: float
    series: str


class KegbotModel:
    """``taps`` says of each meter whether there is a keg."""

    def __init__(self, clock: FakeClock, random: Random, version: str = "1.3", *, reuses_ids: bool = False) -> None:
        self.taps = {"kegboard.flow0": True, "kegboard.flow1": True}
        self.key = KEY
        self.drinks: dict[int, StoredDrink] = {}
        self.readings: list[tuple[str, float]] = []
        self.cancelled: list[StoredDrink] = []
        self.calls: list[str] = []
        self.is_broken = False
        """Whether it answers 500 to every post of a drink, which it stores all the same."""
        self.failing: set[str] = set()
        """The meters whose drinks it answers 500 to, and does not store."""
        self._clock = clock
        self._random = random
        self._is_old = version != "1.3"
        self._reuses_ids = reuses_ids
        self._last_id = 0
        self._working: list[tuple[float, StoredDrink]] = []

    def handle(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", late_s: float = 0) -> Answer:
        """The answer to a request; what it stores, it stores ``late_s`` later."""
        self.work()
        parts = urlsplit(url)
        path = parts.path.partition("/api/v1/")[2]
        self.calls.append(f"{method} {path}")
        has_key = {name.lower(): value for name, value in headers.items()}.get("x-kegbot-api-key") == self.key
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        match method, path.split("/"):
            case "GET", ["version"]:
                return _objects(200, {"object": {"server_version": "1.2.0" if self._is_old else "1.3.0"}})
            case "GET", ["taps"]:
                return _objects(200, {"objects": [self._tap(meter) for meter in self.taps]})
            case "GET", ["drinks"]:
                query = dict(parse_qsl(parts.query))
                below = int(query["start"]) if "start" in query else 2**62
                ids = sorted((one for one in self.drinks if one <= below), reverse=True)[:PAGE]
                return _objects(200, {"objects": [self._drink(one) for one in ids]})
            case "GET", ["drinks", number]:
                drink = int(number)
                return _objects(200, {"object": self._drink(drink)}) if drink in self.drinks else _error(404)
            case _ if not has_key:
                return _error(401, "BadApiKeyError", "no such key")
            case "GET", ["status"]:
                return _objects(200, {"object": {"taps": [self._tap(meter) for meter in self.taps]}})
            case "POST", ["taps", meter]:
                return self._pour(unquote(meter), fields, late_s)
            case "POST", ["thermo-sensors", sensor]:
                if not -20 <= float(fields["temp_c"]) <= 80:
                    return _error(400, "BadRequestError", "temperature out of range")
                self.readings.append((unquote(sensor), float(fields["temp_c"])))
                return _objects(200, {"object": {"id": len(self.readings), "temperature_c": float(fields["temp_c"])}})
            case "POST", ["cancel-drink"]:
                self.cancelled.append(self.drinks.pop(int(fields["id"])))
                return _error(500, "ServerError", "'NoneType' object has no attribute 'id'")
            case _:
                return _error(404)

    def work(self) -> None:
        """Store what workers are done with by now."""
        due = [one for one in self._working if one[0] <= self._clock.now_s]
        self._working = [one for one in self._working if one[0] > self._clock.now_s]
        for _, drink in due:
            if self.taps.get(drink.meter):
                self._store(drink)

    def pour_elsewhere(self, ticks: int) -> StoredDrink:
        """Somebody else's drink, whose series is as a Kegboard has it, if any."""
        series = self._random.choice(["", f"0:{ticks}", f"0:0 100:{ticks}"])
        drink = StoredDrink("kegboard.flow1", ticks, self._clock.now_ms / 1000, series)
        self._store(drink)
        return drink

    def _pour(self, meter: str, fields: Mapping[str, str], late_s: float) -> Answer:
        if meter not in self.taps:
            return _error(404)
        if not self.taps[meter]:
            return _error(500, "ServerError", "no keg") if self._is_old else _error(400, "BadRequestError", "no keg")
        at_s = self._clock.now_ms / 1000
        if self._is_old:
            at_s -= int(fields["now"]) - int(fields["pour_time"])
        else:
            date = datetime.fromisoformat(fields["record_date"])
            if date.tzinfo is None:
                return _error(500, "ServerError", "can't compare offset-naive and offset-aware datetimes")
            at_s = date.timestamp()
        if meter in self.failing:
            return _error(500, "ServerError", "division by zero")
        drink = StoredDrink(meter, int(fields["ticks"]), at_s, fields.get("tick_time_series", ""))
        if late_s:
            self._working.append((self._clock.now_s + late_s, drink))
            return _error(500)
        number = self._store(drink)
        return _error(500, "ServerError", "stats") if self.is_broken else _objects(200, {"object": self._drink(number)})

    def _store(self, drink: StoredDrink) -> int:
        highest = max(self.drinks, default=0)
        self._last_id = highest if self._reuses_ids else max(highest, self._last_id)
        self._last_id += self._random.choice([1, 1, 1, 2, 40])
        self.drinks[self._last_id] = drink
        return self._last_id

    def _tap(self, meter: str) -> dict[str, object]:
        tap: dict[str, object] = {"id": 1, "name": meter, "meter_name": meter, "ml_per_tick": 0.367}
        return {**tap, "current_keg_id": 5} if self.taps[meter] else tap

    def _drink(self, number: int) -> dict[str, object]:
        drink = self.drinks[number]
        fields: dict[str, object] = {"id": number, "ticks": drink.ticks, "volume_ml": drink.ticks / 2.724}
        return {**fields, "tick_time_series": drink.series} if drink.series else fields


def _objects(status: int, content: Mapping[str, object]) -> Answer:
    return Answer(
        status, {"content-type": "application/json"}, json.dumps({**content, "meta": {"result": "ok"}}).encode()
    )


def _error(status: int, code: str = "NotFoundError", message: str = "not found") -> Answer:
    content = {"error": {"code": code, "message": message}, "meta": {"result": "error"}}
    return Answer(status, {"content-type": "application/json"}, json.dumps(content).encode())
