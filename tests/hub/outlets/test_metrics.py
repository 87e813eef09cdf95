"""Prometheus reads what is left, how cold it is and how the hub does, in words that its own tool finds right."""

import shutil
import subprocess
from collections.abc import Callable

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import APIRouter
from fastapi.routing import APIRoute
from prometheus_client.parser import text_string_to_metric_families

from kegnet_client.core.records import Reading
from kegnet_client.hub.outlets.metrics import Metrics

from ..conftest import NOW_MS, Post
from ..test_alarms import DEVICE, SENSOR, House


def values(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    return {
        sample.name: [(one.labels, one.value) for one in family.samples if one.name == sample.name]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def text(reader: httpx.Client, device: str, form: Callable[..., bytes], post: Post) -> str:
    """What is told of a tap with a name that is meant to break out."""
    meters = [{"device": device, "pin": 3}]
    tap = reader.post("/api/taps", json={"name": 'le"ft\\ {x="y"}', "meters": meters}).json()["id"]
    reader.post("/api/kegs", json={"size_ml": 20_000, "taps": [{"tap": tap}]})
    assert post("v2/pour", form("pour", id=device, pin=3, pulses=5400, et=9000, ts=NOW_MS)).status_code == 200
    assert post("v2/pour", form("pour", id=device, pin=3, pulses=5400, et=9000, ts=0)[:-9]).status_code == 400
    answer = reader.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return answer.text


def test_levels_devices_and_counts_are_told(text: str, device: str) -> None:
    found = values(text)
    (left,) = [value for labels, value in found["kegnet_keg_left_litres"] if labels["name"] == 'le"ft\\ {x="y"}']
    assert left == 19.0
    assert any(labels["device"] == device for labels, _ in found["kegnet_device_last_seen_timestamp_seconds"])
    assert found["kegnet_pours_total"][0][1] >= 1
    assert found["kegnet_hub_records_stored_total"][0][1] >= 1
    assert found["kegnet_hub_requests_refused_total"][0][1] >= 1
    assert found["kegnet_hub_store_seconds_count"][0][1] >= 1


@pytest.mark.parametrize("kind", ["store", pytest.param("postgresql_store", marks=pytest.mark.process)])
def test_alarms_sensors_and_the_size_of_the_database_are_told(
    request: pytest.FixtureRequest, kind: str, device_key: rsa.RSAPrivateKey
) -> None:
    bar = House(request.getfixturevalue(kind), device_key)
    bar.say("tap", name="left", meters=[{"device": DEVICE, "pin": 0}])
    bar.say("keg", size_ml=1000, start_ml=100, taps=[{"tap": 1}])
    bar.send(Reading(SENSOR, -500, NOW_MS))
    bar.judge.judge()
    router = APIRouter()
    Metrics(bar.store, lambda: NOW_MS).add_route(router)
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    found = values(bytes(route.endpoint().body).decode())
    assert found["kegnet_alarms"] == [({"rule": "keg-low", "state": "raised"}, 1)]
    assert found["kegnet_sensor_temperature_celsius"] == [({"sensor": SENSOR}, -0.5)]
    assert found["kegnet_sensor_temperature_timestamp_seconds"] == [({"sensor": SENSOR}, NOW_MS / 1000)]
    assert found["kegnet_database_bytes"][0][1] > 100_000


def test_promtool_has_nothing_to_say_against_it(text: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("takes promtool, of the package prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_takes_a_token(web: httpx.Client) -> None:
    assert web.get("/metrics").status_code == 401
