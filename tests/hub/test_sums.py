"""The sums of days and hours are those of the records, in whatever batches these came and however often."""

import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select

from kegnet_client.core.records import Pour, Reading
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.records import Store

from .conftest import NOW_MS
from .test_alarms import DEVICE, Sent

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
SENSORS = ("28-0000057fa1b2", "28-0000057fa1b3")
POURS = [
    Pour(pin, 100 + number, 5000, day * DAY_MS + number)
    for number, (pin, day) in enumerate(itertools.product((0, 1), (3, 3, 4)))
]
READINGS = [
    Reading(sensor, 4000 + (-1) ** number * 100 * number, hour * HOUR_MS + number)
    for number, (sensor, hour) in enumerate(itertools.product(SENSORS, (7, 7, 7, 8)))
]


@pytest.mark.parametrize("database", ["store", pytest.param("postgresql_store", marks=pytest.mark.process)])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_they_are_those_of_the_records(
    request: pytest.FixtureRequest, device_key: rsa.RSAPrivateKey, database: str, size: int
) -> None:
    store: Store = request.getfixturevalue(database)
    store.add_device(DEVICE, device_key.public_key(), "bar", NOW_MS)
    device = store.device(DEVICE)
    assert device is not None
    records: list[Pour | Reading] = [*POURS, *READINGS]
    for start in range(0, len(records), size):
        for _ in range(2):  # a resend adds nothing
            store.ingest([Sent(device.key_fingerprint, *records[start : start + size])], NOW_MS)
    days, hours = schema.pours_by_day.c, schema.readings_by_hour.c
    expected_days = {
        key: (len(pulses), sum(pulses))
        for key in itertools.product((0, 1), (3, 4))
        if (pulses := [one.pulses for one in POURS if (one.pin, one.started_ms // DAY_MS) == key])
    }
    rows = store.rows(select(days.pin, days.day, days.pours, days.pulses))
    assert {(row.pin, row.day): (row.pours, row.pulses) for row in rows} == expected_days
    expected_hours = {
        key: (len(values), min(values), max(values), sum(values))
        for key in itertools.product(SENSORS, (7, 8))
        if (values := [one.millidegrees for one in READINGS if (one.sensor, one.taken_ms // HOUR_MS) == key])
    }
    rows = store.rows(select(hours.sensor, hours.hour, hours.readings, hours.lowest, hours.highest, hours.total))
    found = {(row.sensor, row.hour): (row.readings, row.lowest, row.highest, row.total) for row in rows}
    assert found == expected_hours
