"""The Debian package where service/install was before: it takes over what is configured, what waits, what is enabled.

The machine has nothing of kegnet-client when this begins, and when it ends.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .test_debian_package import CONF, HUB, ROOT, SPOOL, package

__all__ = ["package"]

UNITS = ("kegnet-client", "kegnet-hub")


@pytest.fixture(scope="module")
def before(machine: Any, packages: Any) -> Iterator[Any]:
    """The machine after service/install, with a hub, a client that delivers to it, and a pour that waits."""
    for one in packages.iterdir():
        (machine.packages / one.name).write_bytes(one.read_bytes())
    # What keeps services from being started where there is no systemd.
    machine.sh("rm -f /usr/sbin/policy-rc.d")
    done = machine.install("--hub")
    assert done.returncode == 0, done.stderr
    machine.sh(
        f"""
        set -e
        id tap 2>/dev/null || useradd -m -G kegnet tap
        usermod -aG kegnet tap
        kegnet-client hub init --host localhost
        systemctl start kegnet-hub
        kegnet-client init --url https://localhost:8443/rest/v2 --ca {HUB}/ca.crt
        kegnet-client hub devices add "$(sed -n 's/^uuid = //p' {ROOT}/conf/client.conf)" {ROOT}/conf/device.pub
        systemctl start kegnet-client
        """
    )
    machine.drop("first.pour", 601)
    machine.wait_for_pours(601)
    yield machine
    machine.sh(f"dpkg -P kegnet-client; rm -rf {ROOT} {CONF} {SPOOL} {HUB}; userdel -r tap")


def test_a_spool_on_a_disk_of_its_own_is_left_alone_and_named(before: Any, package: str) -> None:
    spool = ROOT / "spool"
    before.sh(f"systemctl stop kegnet-client && mount -t tmpfs tmpfs {spool}")
    done = before.try_sh(f"dpkg -i {package}")
    before.sh(f"dpkg -P kegnet-client; umount {spool} && systemctl start kegnet-client")
    assert done.returncode != 0
    assert f"{spool} is a disk of its own" in done.stderr
    assert "Nothing was changed" in done.stderr
    assert [before.show(unit, "ActiveState") for unit in UNITS] == ["active"] * 2


def test_the_package_goes_on_with_all_that_was_there(before: Any, package: str) -> None:
    kept = before.sh(f"cd {ROOT}/conf && sha256sum *")
    before.sh("systemctl stop kegnet-client kegnet-hub && systemctl disable kegnet-enroll")
    before.drop("waits.pour", 602)
    done = before.try_sh(f"dpkg -i {package}")  # stdin is empty: a question would be an error
    assert done.returncode == 0, done.stderr
    assert before.sh(f"cd {CONF} && sha256sum *") == kept
    assert [Path(before.sh(f"readlink -f {ROOT}/{name}")) for name in ("conf", "spool")] == [CONF, SPOOL]
    assert [before.show(unit, "ActiveState") for unit in UNITS] == ["active"] * 2
    assert [before.show(unit, "UnitFileState") for unit in UNITS] == ["enabled"] * 2
    assert {Path(before.show(unit, "FragmentPath")).parent.name for unit in UNITS} == {"system"}
    assert not [unit for unit in UNITS if before.show(unit, "FragmentPath").startswith("/etc")]
    before.wait_for_pours(601, 602)
    before.drop("after.pour", 603)
    before.wait_for_pours(603)


def test_nothing_of_service_install_is_left(before: Any) -> None:
    assert before.try_sh("ls -d /usr/local/bin/kegnet-client /usr/share/kegnet-client/venv*").stdout == ""
    assert before.sh("find /etc/systemd/system -type f -name 'kegnet*'") == ""
    assert before.try_sh(f"ls {ROOT}/enabled-before").stdout == ""


def test_what_was_disabled_stays_so(before: Any) -> None:
    assert [before.show(unit, "UnitFileState") for unit in ("kegnet-enroll", "kegnet-flow-meter")] == ["disabled"] * 2
