"""Which uploaders a configuration takes."""

import logging
import os
from collections import defaultdict

import pytest

from kegnet_client.core.errors import SpoolError
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.sink_queues import SPREADING, SinkQueues
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.destinations import Destination
from kegnet_client.spool.directory import Spool
from kegnet_client.spool.fan_out import QUEUES, queue_path

from ..support.sink import MemorySink

LINE = "0,586,8123,1700000000000\n"


def destination(name: str, sink: MemorySink) -> Destination:
    return Destination(name, f"https://{name}.example", "a device", lambda: sink)


def drain(spool: Spool, *destinations: Destination) -> list[str]:
    """Who was at work."""
    queues = SinkQueues(spool, destinations)
    queues.recover()
    uploaders = queues.make_uploaders(Clock(), defaultdict(Progress))
    for uploader in uploaders.values():
        uploader.drain()
    queues.close()
    return list(uploaders)


def test_with_one_sink_the_spool_is_the_queue_and_nothing_is_made_in_it(spool: Spool) -> None:
    sink = MemorySink()
    (spool.path / "1.pour").write_text(LINE)

    assert drain(spool, destination("kegnet", sink)) == ["kegnet"]
    assert sink.asked.is_set()
    assert list(spool.path.iterdir()) == []


def test_with_several_each_has_a_queue_of_its_own(spool: Spool) -> None:
    sinks = {name: MemorySink() for name in ("kegnet", "mqtt")}
    (spool.path / "1.pour").write_text(LINE)

    assert drain(spool, *(destination(*one) for one in sinks.items())) == [SPREADING, "kegnet", "mqtt"]
    assert all(sink.asked.is_set() for sink in sinks.values())


def test_from_several_to_one_its_queue_goes_first_and_the_spool_is_the_queue_again_once_it_is_empty(
    spool: Spool,
) -> None:
    sink = MemorySink()
    SinkQueues(spool, [destination("kegnet", sink), destination("mqtt", MemorySink())]).close()
    (queue_path(spool.path, "kegnet") / "0-1.pour").write_text(LINE)

    assert drain(spool, destination("kegnet", sink)) == [SPREADING, "kegnet"]
    assert sink.asked.is_set()
    assert drain(spool, destination("kegnet", sink)) == ["kegnet"]


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_what_a_neighbour_put_in_the_place_of_the_queues_stops_no_device_with_one_sink(
    spool: Spool, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid() != 0:
        pytest.skip("takes root: it gives a directory away")
    if kind == "directory":
        (queue_path(spool.path, "kegnet")).mkdir(parents=True)
    else:
        (spool.path / QUEUES).touch()
    os.chown(spool.path / QUEUES, 65534, 65534)
    sink = MemorySink()
    (spool.path / "1.pour").write_text(LINE)
    with caplog.at_level(logging.WARNING):
        assert drain(spool, destination("kegnet", sink)) == ["kegnet"]
    assert sink.asked.is_set()
    assert "nothing is delivered from there" in caplog.text
    with pytest.raises(SpoolError, match=r"\.queue"):
        SinkQueues(spool, [destination("kegnet", sink), destination("mqtt", MemorySink())])
