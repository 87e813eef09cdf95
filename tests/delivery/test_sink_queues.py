"""Which uploaders a configuration takes."""

import logging
import os
import shutil
import stat
import threading
from collections import defaultdict

import pytest

from kegnet_client.core.errors import SpoolError
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.sink_queues import SPREADING, SinkQueues
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.destinations import Destination
from kegnet_client.spool.directory import Spool
from kegnet_client.spool.fan_out import QUEUES, queue_path

from ..support.clock import FakeClock
from ..support.sink import MemorySink
from ..support.waits import WAIT_S, wait_until

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


@pytest.mark.case(124)
def test_a_spool_that_is_deleted_with_its_queues_is_back_as_it_was_and_delivers(spool: Spool) -> None:
    sinks = {name: MemorySink() for name in ("kegnet", "mqtt")}
    queues = SinkQueues(spool, [destination(*one) for one in sinks.items()])
    clock = FakeClock()
    uploaders = queues.make_uploaders(clock, defaultdict(Progress))
    threads = [threading.Thread(target=one.run) for one in uploaders.values()]
    for thread in threads:
        thread.start()
    try:
        for uploader in uploaders.values():
            assert uploader.scanned.wait(WAIT_S)
        shutil.rmtree(spool.path)
        made = [spool.path / QUEUES, *(queue_path(spool.path, name) for name in sinks)]
        clock.now_s += 60

        def is_back() -> bool:
            clock.now_s += 1
            for uploader in uploaders.values():
                uploader.nudge()
            return all(path.is_dir() for path in made)

        wait_until(is_back, "it is not back")
        temp = spool.path / ".1.tmp"
        temp.write_text(LINE)
        temp.rename(spool.path / "1.pour")
        wait_until(lambda: is_back() and all(one.asked.is_set() for one in sinks.values()), "it is not delivered")
        wait_until(lambda: not any(spool.path.rglob("*.pour")), "it stays")
        for path in made:
            assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
            assert path.stat().st_uid == spool.path.stat().st_uid, path
    finally:
        for uploader in uploaders.values():
            uploader.stop()
        for thread in threads:
            thread.join(WAIT_S)
        queues.close()


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
