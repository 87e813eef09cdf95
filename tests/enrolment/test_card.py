"""A card is enrolled where it is mounted, or enrols itself at its first boot from a file on its boot partition."""

import shutil
from pathlib import Path

import pytest

from kegnet_client import cli
from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.parse import load
from kegnet_client.core.errors import ServerRefusalError, TransportError, UsageError
from kegnet_client.enrolment import card
from kegnet_client.enrolment.enroll import enroll
from kegnet_client.host.clock import Clock
from kegnet_client.sinks import open as sinks_open
from kegnet_client.sinks.kegnet_section import KEGNET

from .device import Device
from .hub import Hub


@pytest.fixture
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The boot partition."""
    directory = tmp_path / "boot"
    directory.mkdir()
    find = card.find_boot_file
    monkeypatch.setattr(card, "find_boot_file", lambda: find((tmp_path / "none", directory)))
    return directory


def enroll_at_boot(root: Path) -> int:
    return cli.main(["enroll", "--boot", "--root", str(root)])


@pytest.mark.parametrize(
    "text",
    [
        "sudo kegnet-client enroll {url} {code}\n",
        "# the front bar\r\n\r\nkegnet-client enroll {url} {code}\r\n",
        "\ufeff{url} {code}",
    ],
    ids=["as printed", "from Windows", "by hand"],
)
def test_a_card_enrols_itself_at_its_first_boot_and_the_file_is_gone(
    hub: Hub, root: Path, boot: Path, text: str
) -> None:
    (boot / card.BOOT_FILE).write_text(text.format(url=hub.url, code=hub.invite()), "utf-8", newline="")
    (boot / card.ERROR_FILE).write_text("of the try before")
    assert enroll_at_boot(root) == 0
    assert list(boot.iterdir()) == []
    assert load(root, None, SECTIONS).section(KEGNET).base.url == f"{hub.url}/rest/v3"


def test_what_is_wrong_is_written_beside_the_file_which_stays(hub: Hub, root: Path, boot: Path) -> None:
    file = boot / card.BOOT_FILE
    file.write_text(f"{hub.url} {hub.invite(valid_ms=-1)}")
    assert enroll_at_boot(root) == ServerRefusalError.exit_code
    assert "the code has expired" in (boot / card.ERROR_FILE).read_text()
    assert file.exists()
    file.write_text("hello")
    assert enroll_at_boot(root) == UsageError.exit_code
    assert "expected one line" in (boot / card.ERROR_FILE).read_text()


def test_a_hub_that_is_away_is_tried_again_with_the_same_file(hub: Hub, root: Path, boot: Path) -> None:
    file = boot / card.BOOT_FILE
    file.write_text(f"https://localhost:1 {hub.invite()}")
    assert enroll_at_boot(root) == TransportError.exit_code
    assert file.exists()
    assert not (boot / card.ERROR_FILE).exists()


def test_a_code_that_was_used_does_not_stay_on_the_card_though_the_first_exchange_fails(
    hub: Hub, root: Path, boot: Path
) -> None:
    (boot / card.BOOT_FILE).write_text(f"{hub.url} {hub.invite()}")
    hub.lose.append("/rest/v3/records")
    assert enroll_at_boot(root) == TransportError.exit_code
    assert list(boot.iterdir()) == []


def test_a_power_cut_before_the_file_was_removed_is_made_up_for(hub: Hub, root: Path, boot: Path) -> None:
    text = f"{hub.url} {hub.invite()}"
    for _ in range(2):
        (boot / card.BOOT_FILE).write_text(text)
        assert enroll_at_boot(root) == 0
    assert list(boot.iterdir()) == []


def test_a_device_comes_back_by_the_file_too(hub: Hub, device: Device, boot: Path) -> None:
    (boot / card.BOOT_FILE).write_text(f"enroll --replace {hub.url} {hub.invite()}")
    assert enroll_at_boot(device.root) == 0
    assert load(device.root, None, SECTIONS).section(KEGNET).uuid != device.uuid


def test_without_the_file_it_says_where_it_belongs(root: Path, boot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert enroll_at_boot(root) == UsageError.exit_code
    assert "kegnet-enroll.txt" in capsys.readouterr().err


@pytest.mark.parametrize("links", [True, False], ids=["a Debian package", "service/install"])
def test_a_mounted_card_is_enrolled_and_this_machine_is_not(hub: Hub, tmp_path: Path, links: bool) -> None:
    mounted = tmp_path / "mnt"
    inner = mounted / "usr/share/kegnet-client"
    inner.mkdir(parents=True)
    for name, target in (("conf", "etc/kegnet-client"), ("spool", "var/spool/kegnet-client")):
        if links:
            (mounted / target).mkdir(parents=True)
            (inner / name).symlink_to(f"/{target}")  # as the package has it
        else:
            (inner / name).mkdir()
    assert cli.main(["enroll", "--root", str(mounted), hub.url, hub.invite()]) == 0
    conf = mounted / "etc/kegnet-client" if links else inner / "conf"
    assert {"client.conf", "privkey.pem", "device.pub", "ca.crt"} == {path.name for path in conf.iterdir()}
    assert hub.keys(load(inner, None, SECTIONS).section(KEGNET).uuid)


def test_a_copied_card_is_told_on_both_machines_and_one_command_makes_it_a_device_of_its_own(
    hub: Hub, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    enroll(root, SECTIONS, hub.url, hub.invite(), {})
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)

    def told(of: Path, boot: str) -> bool:
        caplog.clear()
        monkeypatch.setattr(sinks_open, "boot_mark", lambda _uuid: boot)
        sinks_open.send_heartbeat(load(of, None, SECTIONS).section(KEGNET), Clock(), {})
        return "another machine sends as this device" in caplog.text

    assert [told(of, boot) for of, boot in [(root, "1" * 16), (copy, "2" * 16)] * 2] == [False, False, True, True]
    enroll(copy, SECTIONS, hub.url, hub.invite("the copy"), {}, replace=True)
    assert not told(copy, "2" * 16)
    uuids = {load(of, None, SECTIONS).section(KEGNET).uuid for of in (root, copy)}
    assert len(uuids) == 2
