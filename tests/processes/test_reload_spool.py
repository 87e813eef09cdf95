"""A reload that changes the spool, and what waits in the one before."""

import shutil

import pytest

from ..support.device import Device
from ..support.server import Server


def test_what_waits_in_a_spool_that_a_reload_left_is_told(device: Device, server: Server) -> None:
    server.answer = lambda _: 401
    for number in range(3):
        device.drop(100 + number)
    program = device.start()
    program.log.wait_for("answered 401")
    device.configure(spool="other")
    device.reload(program)
    line = program.log.wait_for("from where nothing is delivered any more")
    assert f"3 waiting in {device.spool}" in line

    device.configure(spool="spool")
    server.answer = lambda _: 200
    device.reload(program)
    program.log.wait_for("delivered", 3)
    assert len(program.log.lines("from where nothing is delivered any more")) == 1


def test_a_spool_that_was_deleted_and_made_anew_is_seen_by_the_reload(device: Device, server: Server) -> None:
    program = device.run()
    device.drop(1)
    server.wait_for("pour")
    # What is open does not end when it is deleted, so that no event tells of it.
    shutil.rmtree(device.spool)
    device.spool.mkdir()
    device.drop(2)
    device.reload(program)
    assert [call.fields["pulses"] for call in server.wait_for("pour", 2)] == ["1", "2"]


@pytest.mark.case(72)
def test_reloads_beside_a_backlog_take_no_memory_for_good(device: Device, server: Server) -> None:
    server.answer = lambda _: 401
    for number in range(10_000):
        (device.spool / f"{number}.pour").write_text(f"1,586,8123,{1_700_000_000_000 + number}\n")
    program = device.start()
    program.log.wait_for("answered 401")

    memory_kb = []
    for number in range(12):
        device.reload(program)
        program.log.wait_for("answered 401", number + 2)  # so it has scanned the spool
        memory_kb.append(program.memory_kb())
    assert memory_kb[-1] - memory_kb[1] < 2_500
