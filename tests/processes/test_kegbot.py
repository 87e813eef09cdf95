"""A daemon that delivers to a Kegbot server, alone or beside KegNet, over TLS."""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from signal import SIGKILL

import pytest

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.edit import fill, render
from kegnet_client.producers.thermometer_section import THERMOMETER
from kegnet_client.sinks.kegbot import DOUBT_S
from kegnet_client.sinks.kegbot_section import KEGBOT

from ..sinks.kegbot_server import KegbotServer
from ..support.clock import FakeClock
from ..support.device import Device
from ..support.kegboard_receiver import KegboardReceiver
from ..support.kegbot import KEY, KegbotModel
from ..support.server import Server as KegNetServer
from ..support.waits import WAIT_S, wait_until


@pytest.fixture
def kegbot(chain: Path) -> Iterator[KegbotServer]:
    """A Kegbot server, up."""
    server = KegbotServer(chain, KegbotModel(FakeClock(), Random(1)))  # noqa: S311 (no secret)
    yield server
    server.close()


@pytest.fixture
def model(kegbot: KegbotServer) -> KegbotModel:
    """What it knows."""
    assert isinstance(kegbot.model, KegbotModel)
    return kegbot.model


def ticks(model: KegbotModel) -> list[int]:
    return sorted(drink.ticks for drink in model.drinks.values())


def name_kegbot(device: Device, kegbot: KegbotServer, text: str, **more: str) -> None:
    key = device.root / "conf" / "kegbot-key"
    key.touch(0o600)
    key.write_text(f"{KEY}\n")
    owner = device.root.stat()
    os.chown(key, owner.st_uid, owner.st_gid)
    values = {"api": kegbot.url, "ca_bundle": "conf/ca.crt", **more}
    (device.root / "conf" / "client.conf").write_text(fill(text, KEGBOT, values))


@pytest.fixture
def kegbot_device(device: Device, kegbot: KegbotServer) -> Device:
    """A device without a [KegNet]."""
    name_kegbot(device, kegbot, fill(render(SECTIONS), THERMOMETER, {"directory": "w1"}), uuid=device.uuid)
    device.key.unlink()
    return device


def test_send_and_check_do_it_once_without_a_private_key(
    kegbot_device: Device, kegbot: KegbotServer, model: KegbotModel
) -> None:
    kegbot_device.drop(586)
    sent = kegbot_device.command("send")
    again = kegbot_device.command("send")
    checked = kegbot_device.command("check")

    assert (sent.returncode, sent.stdout) == (0, "1 delivered, 0 rejected, 0 left in the spool\n")
    assert (again.returncode, again.stdout) == (0, "0 delivered, 0 rejected, 0 left in the spool\n")
    assert checked.returncode == 0, checked.stdout
    assert f"kegbot         {kegbot.url}/v1 took a heartbeat from {kegbot_device.uuid}" in checked.stdout
    assert ticks(model) == [586]
    assert KEY not in sent.stderr + checked.stdout


@pytest.mark.case(112)
def test_a_key_that_is_refused_ends_a_send_and_a_check_with_77_and_nothing_is_lost(
    kegbot_device: Device, model: KegbotModel
) -> None:
    model.key = "another"
    kegbot_device.drop(586)
    sent, checked = kegbot_device.command("send"), kegbot_device.command("check")

    assert (sent.returncode, checked.returncode) == (77, 77)
    assert "apiKeyFile" in sent.stderr
    assert "apiKeyFile" in checked.stdout
    assert kegbot_device.waiting() == ["000586.pour"]
    assert KEY not in sent.stderr + checked.stdout


@pytest.mark.case(111)
def test_a_daemon_starts_as_kegbots_core_and_holds_what_has_no_keg(kegbot_device: Device, model: KegbotModel) -> None:
    model.taps["kegboard.flow0"] = False
    kegbot_device.drop(586)
    program = kegbot_device.run()
    program.log.wait_for("Found 2 taps, adding to tap manager.")
    program.log.wait_for(
        "000586.pour is tried again later, other records go on: the tap with meter kegboard.flow0 has no keg"
    )
    kegbot_device.drop_text("1,77,100,1700000000000\n", "other.pour")
    wait_until(lambda: ticks(model) == [77], "the other tap waits, too")
    wait_until(lambda: kegbot_device.waiting() == ["000586.pour"], "another waits")
    assert KEY.encode() not in Path(f"/proc/{program.pid}/cmdline").read_bytes()
    assert program.stop()[0] == 0


def test_one_daemon_feeds_kegnet_and_a_kegbot_server_while_either_is_away(
    device: Device, kegbot: KegbotServer, model: KegbotModel, server: KegNetServer
) -> None:
    name_kegbot(device, kegbot, (device.root / "conf" / "client.conf").read_text())
    program = device.run()
    for pulses in (1, 2, 3):
        device.drop(pulses)
    wait_until(lambda: ticks(model) == [1, 2, 3], "the Kegbot server has not all")
    kegbot.is_away = True
    device.drop(4)
    program.stop(SIGKILL)
    program = device.run()
    device.drop(5)
    wait_until(lambda: {call.fields["pulses"] for call in server.calls("pour")} == set("12345"), "KegNet has not all")
    kegbot.is_away = False
    device.reload(program)
    wait_until(lambda: ticks(model) == [1, 2, 3, 4, 5], "the Kegbot server has not all")
    assert program.stop()[0] == 0


@pytest.mark.case(119)
def test_a_server_of_2_0_gets_the_records_once_somebody_allowed_the_device(device: Device, chain: Path) -> None:
    receiver = KegboardReceiver(FakeClock())
    later = KegbotServer(chain, receiver)
    try:
        name_kegbot(device, later, fill(render(SECTIONS), THERMOMETER, {"directory": "w1"}), uuid=device.uuid)
        (device.root / "conf" / "kegbot-key").unlink()
        device.drop(586)
        refused = device.command("send")
        assert refused.returncode == 77
        assert f"does not know kegnet-{device.uuid[:8]} yet; allow it there" in refused.stderr
        receiver.pairing = "allowed"
        receiver.taps[f"kegnet-{device.uuid[:8]}.flow0"] = True
        sent = device.command("send")
        assert (sent.returncode, sent.stdout) == (0, "1 delivered, 0 rejected, 0 left in the spool\n"), sent.stderr
        assert [drink.volume_ml for drink in receiver.drinks.values()] == [293.0]
    finally:
        later.close()


@pytest.mark.slow
@pytest.mark.case(109)
def test_a_pour_whose_answer_was_a_500_is_one_drink_though_the_daemon_is_killed_while_it_waits(
    kegbot_device: Device, model: KegbotModel
) -> None:
    model.is_broken = True
    program = kegbot_device.run()
    kegbot_device.drop(586)
    program.log.wait_for("000586.pour is tried again later, other records go on: the server answered 500")
    model.is_broken = False
    program.stop(SIGKILL)
    program = kegbot_device.run()
    kegbot_device.drop_text("1,77,100,1700000000000\n", "other.pour")
    wait_until(lambda: ticks(model) == [77, 586], "the other waits, too")
    wait_until(lambda: not kegbot_device.waiting(), "the pour is not found", DOUBT_S + WAIT_S)
    assert ticks(model) == [77, 586]
    assert program.stop()[0] == 0
