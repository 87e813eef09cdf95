"""``/metrics`` for Prometheus: what is left, how cold it is, what is wrong, who was heard of, and how the hub does.

The numbers are read from the database when they are asked for. Counts and the time that storing takes are this
process's own, since it began. Names that people gave are labels, escaped by the library.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select, text

from kegnet_client.hub.api import taps
from kegnet_client.hub.store import alarms, entries, readings, refusals, schema
from kegnet_client.hub.store.records import Store

PATH = "/metrics"
_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}
_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """What is counted in this process, and what ``store`` knows."""

    def __init__(self, store: Store, clock_ms: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Stored(store, clock_ms))
        self._stored = Counter(
            "kegnet_hub_records_stored", "New records that this process stored.", registry=self._registry
        )
        self._refused = Counter(
            "kegnet_hub_requests_refused", "Requests of devices that were refused.", registry=self._registry
        )
        self._took = Histogram(
            "kegnet_hub_store_seconds",
            "From a device's request until its records were on disk.",
            buckets=_BUCKETS_S,
            registry=self._registry,
        )

    def count_stored(self, records: int, elapsed_s: float) -> None:
        """A request of a device is on disk, with so many new records."""
        self._stored.inc(records)
        self._took.observe(elapsed_s)

    def count_refused(self) -> None:
        """A request of a device was refused."""
        self._refused.inc()

    def add_route(self, router: APIRouter) -> None:
        """Add `PATH`."""

        @router.get(PATH, response_class=Response, responses={200: {"content": {"text/plain": {}}}}, tags=["reading"])
        def metrics() -> Response:
            """Numbers for Prometheus."""
            return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class _Stored(Collector):
    """The numbers that are in the database."""

    def __init__(self, store: Store, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._clock_ms = clock_ms

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: the database is not asked before somebody wants to know."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """All of it, as it is now."""
        return self._store.read(self._collect)

    def _collect(self, connection: Connection) -> list[GaugeMetricFamily | CounterMetricFamily]:
        return [
            *self._devices(connection),
            *self._taps(connection),
            *self._sensors(connection),
            *_alarms(connection),
            *_sums(connection),
            _size(connection),
        ]

    def _devices(self, connection: Connection) -> Iterable[GaugeMetricFamily]:
        seen = GaugeMetricFamily(
            "kegnet_device_last_seen_timestamp_seconds",
            "When a device last sent something new.",
            labels=["device", "name"],
        )
        table = schema.devices.c
        statement = select(table.uuid, table.name, table.last_seen_ms).where(
            table.revoked_ms.is_(None), table.last_seen_ms.is_not(None)
        )
        for uuid, name, last_seen_ms in connection.execute(statement):
            seen.add_metric([uuid, name], last_seen_ms / 1000)
        yield seen
        refused = GaugeMetricFamily(
            "kegnet_device_refused_records",
            "Records that were refused from a device, or from who says it is, within the last hour.",
            labels=["device", "name"],
        )
        counts = refusals.read_sums(connection, self._clock_ms() - refusals.HOUR_MS)
        for uuid, name in connection.execute(select(table.uuid, table.name).where(table.revoked_ms.is_(None))):
            refused.add_metric([uuid, name], counts.get(uuid, 0))
        yield refused

    def _taps(self, connection: Connection) -> Iterable[GaugeMetricFamily]:
        labels = ["tap", "name", "beverage"]
        left = GaugeMetricFamily("kegnet_keg_left_litres", "What is left in the keg at a tap.", labels=labels)
        size = GaugeMetricFamily("kegnet_keg_size_litres", "What the keg holds when it is full.", labels=labels)
        last = GaugeMetricFamily(
            "kegnet_keg_last_pour_timestamp_seconds", "When the keg at a tap last ran.", labels=labels
        )
        temperature = GaugeMetricFamily(
            "kegnet_tap_temperature_celsius", "The last reading of a tap's sensor.", labels=["tap", "name", "sensor"]
        )
        taken = GaugeMetricFamily(
            "kegnet_tap_temperature_timestamp_seconds", "When that was read.", labels=["tap", "name", "sensor"]
        )
        holding = entries.read_open(connection, "tap")
        for tap in taps.show(connection, holding, self._clock_ms()):
            keg, reading = tap["keg"], tap["temperature"]
            if keg is not None:
                values = [str(tap["id"]), tap["name"], (tap["beverage"] or {}).get("name", "")]
                left.add_metric(values, keg["left_ml"] / 1000)
                size.add_metric(values, keg["size_ml"] / 1000)
                if keg["last_pour_ms"] is not None:
                    last.add_metric(values, keg["last_pour_ms"] / 1000)
            if reading is not None:
                values = [str(tap["id"]), tap["name"], tap["sensor"]]
                temperature.add_metric(values, reading["millidegrees"] / 1000)
                taken.add_metric(values, reading["taken_ms"] / 1000)
        return (left, size, last, temperature, taken)

    def _sensors(self, connection: Connection) -> Iterable[GaugeMetricFamily]:
        degrees = GaugeMetricFamily(
            "kegnet_sensor_temperature_celsius", "The last reading of a sensor, at a tap or not.", labels=["sensor"]
        )
        taken = GaugeMetricFamily(
            "kegnet_sensor_temperature_timestamp_seconds", "When that was read.", labels=["sensor"]
        )
        for sensor in readings.read_sensors(connection, self._clock_ms()):
            last = readings.read_last(connection, sensor)
            if last is not None:
                taken_ms, millidegrees = last
                degrees.add_metric([sensor], millidegrees / 1000)
                taken.add_metric([sensor], taken_ms / 1000)
        return (degrees, taken)


def _alarms(connection: Connection) -> Iterable[GaugeMetricFamily]:
    standing = GaugeMetricFamily(
        "kegnet_alarms",
        "Alarms that stand: raised is wrong, acknowledged is wrong and known of, cleared is over and not known of.",
        labels=["rule", "state"],
    )
    counts = Counts((alarm.key[0], alarm.state.value) for _, alarm in alarms.read_standing(connection).values())
    for labels, count in counts.items():
        standing.add_metric(labels, count)
    return (standing,)


def _sums(connection: Connection) -> Iterable[CounterMetricFamily]:
    pours = CounterMetricFamily("kegnet_pours", "Pours that were ever stored.")
    pours.add_metric([], connection.scalar(select(func.sum(schema.pours_by_day.c.pours))) or 0)
    taken = CounterMetricFamily("kegnet_readings", "Readings that were ever stored.")
    taken.add_metric([], connection.scalar(select(func.sum(schema.readings_by_hour.c.readings))) or 0)
    return (pours, taken)


def _size(connection: Connection) -> GaugeMetricFamily:
    size = GaugeMetricFamily("kegnet_database_bytes", "How large the database is.")
    size.add_metric([], connection.scalar(text(_SIZE[connection.dialect.name])) or 0)
    return size
