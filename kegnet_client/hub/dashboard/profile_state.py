"""What the page of profiles shows, read at once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from kegnet_client.hub.domain.profiles import DAY_MS, Run, length_days, to_millidegrees
from kegnet_client.hub.maelstrom import channels, values
from kegnet_client.hub.store import entries, events, readings, runs
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.readings import Point
from kegnet_client.hub.store.runs import Place

MAX_POINTS = 800
MAX_VERSIONS = 50
_BEYOND = 1.25
"""A run that is over is shown for this part of its length."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One profile: all that was said of it, its runs, and one of these with what was wanted and what was read."""

    history: Sequence[Entry]
    """The oldest first."""
    run_entries: Sequence[Entry]
    """The newest first."""
    run_entry: Entry | None
    run: Run | None
    until_ms: int
    line: Sequence[tuple[int, int | None]]
    points: Sequence[Point]
    last: tuple[int, int] | None
    """When the place was read last, and the millidegrees Celsius."""

    @property
    def entry(self) -> Entry:
        """What holds."""
        return self.history[-1]


@dataclass(frozen=True, slots=True)
class ProfileState:
    """All profiles, where they run, the places where they may, and one profile in detail."""

    profiles: Sequence[Entry]
    running: Mapping[Place, Entry]
    places: Mapping[Place, str]
    detail: Detail | None

    def runs_of(self, profile: int) -> list[Entry]:
        """The open runs of a profile."""
        return [one for one in self.running.values() if one.body["profile"] == profile]

    def place(self, run: Entry) -> str:
        """What the place of ``run`` is called."""
        place = runs.place_of(run)
        return self.places.get(place) or runs.tell_place(place)


def read(connection: Connection, chosen: int | None, run: int | None, now_ms: int) -> ProfileState:
    """All of it; of the profile ``chosen`` its run ``run``, or the newest."""
    found = entries.read_open(connection, "profile")
    history = [] if chosen is None else entries.read_history(connection, "profile", chosen)
    is_there = bool(history) and history[-1].body.get("ended_ms") is None
    return ProfileState(
        found,
        runs.read_running(connection),
        _read_places(connection, now_ms),
        _read_detail(connection, history, run, now_ms) if is_there else None,
    )


def _read_places(connection: Connection, now_ms: int) -> dict[Place, str]:
    taps = entries.read_open(connection, "tap")
    names = {one.body["sensor"]: str(one.body["name"]) for one in taps if one.body.get("sensor")}
    sensors = {*readings.read_sensors(connection, now_ms), *names}
    places: dict[Place, str] = {
        (one, None, None): f"{names[one]} ({one})" if one in names else one for one in sorted(sensors)
    }
    for one in entries.read_open(connection, "controller"):
        name = one.body["name"] or f"#{one.subject}"
        for number, chamber in enumerate(one.body["chambers"], 1):
            places[None, one.subject, number] = f"{name}: {chamber['name'] or number}"
        if not one.body["chambers"]:
            places[None, one.subject, None] = str(name)
    return places


def _read_detail(connection: Connection, history: Sequence[Entry], chosen: int | None, now_ms: int) -> Detail:
    profile = history[-1].subject
    of_it = [one for one in entries.read_all(connection, "run") if one.body["profile"] == profile]
    of_it.sort(key=lambda one: (one.body.get("ended_ms") is None, one.body["started_ms"]), reverse=True)
    entry = next((one for one in of_it if one.subject == chosen), of_it[0] if of_it else None)
    if entry is None:
        return Detail(history, of_it, None, None, now_ms, [], [], None)
    run = Run(entry.body["started_ms"], [runs.to_version(one) for one in history])
    until_ms = _end_of(run, entry.body.get("ended_ms"), now_ms)
    read_until_ms = min(now_ms, until_ms)
    sensor, controller, chamber = runs.place_of(entry)
    points: list[Point] = []
    last: tuple[int, int] | None = None
    if sensor is not None:
        points = [
            (at_ms, mean)
            for _, at_ms, mean in readings.read_points(connection, run.started_ms, read_until_ms, MAX_POINTS, sensor)
        ]
        last = readings.read_last(connection, sensor)
    elif controller is not None:
        told = _read_told(connection, controller, chamber, history[-1].body["unit"])
        points = [(at_ms, value) for at_ms, value in told if run.started_ms <= at_ms <= read_until_ms]
        points = readings.thin(points, MAX_POINTS)
        last = told[-1] if told else None
    return Detail(history, of_it, entry, run, until_ms, run.line(until_ms), points, last)


def _end_of(run: Run, ended_ms: int | None, now_ms: int) -> int:
    """Until when a run is shown: to its end, or to now where that is later, but not for years after."""
    if ended_ms is not None:
        return ended_ms
    version = run.version_at(now_ms)
    length_ms = round(length_days(version.points) * DAY_MS) if version is not None else 0
    if length_ms == 0:
        return max(now_ms, run.started_ms) + DAY_MS
    return run.started_ms + max(length_ms, min(now_ms - run.started_ms, round(length_ms * _BEYOND)))


def _read_told(
    connection: Connection, controller: int, chamber: int | None, unit: Literal["C", "F"]
) -> list[tuple[int, int]]:
    """What a controller said of its chamber, of the last messages that are kept.

    It does not tell its unit, and is taken to speak in that of the profile which it follows.
    """
    found = []
    for event in events.read_last(connection, "data", channels.MAX_DATA):
        body = json.loads(event.body)
        value = values.read_value(str(body.get("data")), controller, chamber)
        if value is not None:
            found.append((event.at_ms, to_millidegrees(value, unit)))
    return found
