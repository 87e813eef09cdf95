"""Runs of profiles: where they are, and all that was said of what runs there."""

from sqlalchemy import Connection

from kegnet_client.hub.domain.profiles import Run, Version
from kegnet_client.hub.store import bodies, entries, house
from kegnet_client.hub.store.entries import Entry

Place = tuple[str | None, int | None, int | None]
"""A sensor, or a controller and the number of its chamber, from 1 on; a controller has one where none is told."""


def place_of(run: Entry) -> Place:
    """Where ``run`` is."""
    body = run.body
    return body.get("sensor"), body.get("controller"), body.get("chamber")


def tell_place(place: Place) -> str:
    """A place in one word that nobody had to name: the sensor, or the numbers of controller and chamber."""
    sensor, controller, chamber = place
    return sensor or f"{controller}/{chamber or 1}"


def read_versions(connection: Connection, profile: int) -> list[Version]:
    """All that was said of a profile, the oldest first."""
    return [to_version(one) for one in entries.read_history(connection, "profile", profile)]


def to_version(entry: Entry) -> Version:
    """What ``entry`` says of its profile."""
    points = [(point["days"], point["temperature"]) for point in entry.body["temperatures"]]
    return Version(entry.recorded_ms, points, entry.body["unit"])


def read_running(connection: Connection) -> dict[Place, Entry]:
    """The run in each place: of several, the one that was started last."""
    said = entries.read_open(connection, "run")
    return {place_of(one): one for one in sorted(said, key=lambda one: int(one.body["started_ms"]))}


def read_run(connection: Connection, run: Entry) -> Run:
    """``run`` with all that was said of its profile."""
    return Run(run.body["started_ms"], read_versions(connection, run.body["profile"]))


def start(connection: Connection, body: bodies.Run, said_by: str, now_ms: int) -> Entry:
    """Let a profile run; what ran in its place ends with that. Raises as `house.say` does."""
    entries.lock(connection)
    for one in entries.read_open(connection, "run"):
        if place_of(one) == (body.sensor, body.controller, body.chamber):
            stop(connection, one, said_by, now_ms)
    return house.say(connection, "run", None, body, said_by, now_ms)


def stop(connection: Connection, run: Entry, said_by: str, now_ms: int) -> Entry:
    """End ``run``, as it was read. Raises `entries.ChangedError` where somebody has changed it since."""
    ended = bodies.Run.model_validate({**run.body, "ended_ms": now_ms})
    return house.say(connection, "run", run.subject, ended, said_by, now_ms, run.id)
