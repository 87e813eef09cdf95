"""``kegnet-client send``: one try for each record, a summary, and an exit code that a script can act on."""

import pytest

from ..support.authority import Authority
from ..support.device import Device
from ..support.server import Serve, Server


def test_it_delivers_what_waits_and_ends_with_0(device: Device, server: Server) -> None:
    device.drop(1)
    device.drop(2)
    ended = device.command("send")
    assert (ended.returncode, ended.stdout) == (0, "2 delivered, 0 rejected, 0 left in the spool\n")
    assert sorted(call.fields["pulses"] for call in server.calls("pour")) == ["1", "2"]
    assert list(device.spool.iterdir()) == []
    assert device.command("send").stdout == "0 delivered, 0 rejected, 0 left in the spool\n"


def test_65_says_that_something_was_rejected_here_or_there(device: Device, server: Server) -> None:
    (device.spool / "bad.pour").write_text("0,586\n")
    refused = device.drop(13)
    device.drop(14)
    server.answer = lambda call: 422 if call.fields["pulses"] == "13" else 200
    ended = device.command("send")
    assert (ended.returncode, ended.stdout) == (65, "1 delivered, 2 rejected, 0 left in the spool\n")
    assert "rejected bad.pour: expected 4 fields" in ended.stderr
    kept = device.spool / "rejected"
    assert (kept / "bad.pour").read_text() == "0,586\n"
    assert "the server answered 422" in (kept / f"{refused.name}.reason").read_text()


def test_75_says_that_something_remains(device: Device, server: Server) -> None:
    pour = device.drop()
    server.answer = lambda _: 503
    failed = device.command("send")
    assert (failed.returncode, failed.stdout) == (75, "0 delivered, 0 rejected, 1 left in the spool\n")
    assert "the server answered 503" in failed.stderr
    server.stop()
    away = device.command("send")
    assert away.returncode == 75
    assert "no connection (Connection refused)" in away.stderr
    assert pour.exists()


def test_what_remains_counts_for_more_than_what_was_rejected(device: Device, server: Server) -> None:
    (device.spool / "bad.pour").write_text("0,586\n")
    device.drop()
    server.answer = lambda _: 500
    ended = device.command("send")
    assert (ended.returncode, ended.stdout) == (75, "0 delivered, 1 rejected, 1 left in the spool\n")


def test_neighbours_that_always_earn_a_5xx_do_not_hold_up_what_stands_behind_them(
    device: Device, server: Server
) -> None:
    for pulses in range(1, 13):
        device.drop(pulses)
    server.answer = lambda call: 500 if int(call.fields["pulses"]) <= 9 else 200
    ended = device.command("send")
    assert (ended.returncode, ended.stdout) == (75, "3 delivered, 0 rejected, 9 left in the spool\n")


def test_a_server_with_a_5xx_for_everything_is_asked_ten_times(device: Device, server: Server) -> None:
    for pulses in range(1, 31):
        device.drop(pulses)
    server.answer = lambda _: 500
    ended = device.command("send")
    assert (ended.returncode, ended.stdout) == (75, "0 delivered, 0 rejected, 30 left in the spool\n")
    assert len(server.calls("pour")) == 10


@pytest.mark.parametrize("status", [401, 403])
def test_77_says_that_the_server_refuses_this_device(device: Device, server: Server, status: int) -> None:
    pour = device.drop(1)
    device.drop(2)
    server.answer = lambda _: status
    ended = device.command("send")
    assert (ended.returncode, ended.stdout) == (77, "0 delivered, 0 rejected, 2 left in the spool\n")
    assert "it does not know this device or its key" in ended.stderr
    assert len(server.calls("pour")) == 1
    assert pour.exists()


def test_78_says_that_configuration_key_or_ca_is_unusable(device: Device) -> None:
    device.ca.write_text("garbage")
    ended = device.command("send")
    assert (ended.returncode, ended.stdout) == (78, "")
    assert "holds no PEM certificate" in ended.stderr


def test_a_server_that_cannot_prove_who_it_is_gets_nothing(
    device: Device, serve: Serve, other_authority: Authority
) -> None:
    pour = device.drop()
    stranger = serve(other_authority.issue())
    device.configure(base=stranger.url)
    ended = device.command("send")
    assert ended.returncode == 77
    assert "is from a CA that is not in caBundle" in ended.stderr
    assert "next try" not in ended.stderr, "it ends, and tries nothing more"
    assert stranger.calls("pour") == []
    assert pour.exists()


@pytest.mark.parametrize(("option", "lines"), [("--quiet", 0), (None, 1)])
def test_quiet_leaves_out_what_went_well(device: Device, server: Server, option: str | None, lines: int) -> None:
    device.drop()
    ended = device.command("send", *filter(None, [option]))
    assert (ended.returncode, ended.stdout.splitlines()) == (0, ["1 delivered, 0 rejected, 0 left in the spool"])
    assert ended.stderr.count("delivered") == lines


def test_verbose_logs_each_request_too(device: Device, server: Server) -> None:
    device.drop()
    said = device.command("send", "--verbose").stderr
    assert f"POST {server.url}/pour: 200, " in said
