"""service/install on a machine that has a running kegnet-client, and service/uninstall."""

from pathlib import Path
from typing import Any

import pytest

ROOT = Path("/usr/share/kegnet-client")
POURS = range(3000, 3080)
POURING = f"""
cd {ROOT}/spool
for n in $(seq {POURS[0]} {POURS[-1]}); do
    echo "0,$n,8123,$(date +%s%3N)" > .$n.tmp && mv .$n.tmp $n.pour
    sleep 0.2
done
"""
KEPT = f"sha256sum {ROOT}/conf/* && stat -c '%n %U %G %a' {ROOT} {ROOT}/* {ROOT}/conf/* | grep -v venv"


def test_an_upgrade_from_a_source_archive_keeps_configuration_key_and_spool_and_loses_no_pour(enrolled: Any) -> None:
    enrolled.sh("mkdir /root/sources && tar -xzf /mnt/packages/kegnet_client-*.tar.gz -C /root/sources")
    kept = enrolled.sh(KEPT)
    pid = enrolled.show("kegnet-client", "MainPID")
    enrolled.sh("cat > /run/pouring", stdin=POURING)
    enrolled.sh("systemd-run -q --uid=tap --unit=pouring sh /run/pouring")
    done = enrolled.install(sources="/root/sources/kegnet_client-*")
    assert done.returncode == 0, done.stderr
    assert "Restarting kegnet-client" in done.stdout
    assert enrolled.show("kegnet-client", "ActiveState") == "active"
    assert enrolled.show("kegnet-client", "MainPID") != pid
    assert enrolled.sh(KEPT) == kept
    assert enrolled.sh(f"ls -d {ROOT}/venv.* | wc -l") == "1"
    enrolled.wait_for_pours(*POURS)


def test_an_upgrade_that_fails_leaves_the_old_version_running(enrolled: Any) -> None:
    before = enrolled.sh(f"readlink {ROOT}/venv; ls {ROOT}; systemctl show -P MainPID kegnet-client")
    done = enrolled.install(PIP_FIND_LINKS="/nowhere")
    assert done.returncode == 1
    assert "what was installed before is as it was" in done.stderr
    assert enrolled.sh(f"readlink {ROOT}/venv; ls {ROOT}; systemctl show -P MainPID kegnet-client") == before
    enrolled.drop("still.pour", 161)
    enrolled.wait_for_pours(161)


@pytest.mark.parametrize("arguments", ["--hubb", "--hub --now"])
def test_an_unknown_option_of_install_changes_nothing(enrolled: Any, arguments: str) -> None:
    done = enrolled.install(arguments)
    assert done.returncode == 64
    assert "usage:" in done.stderr


def test_uninstall_leaves_configuration_key_and_spool_and_says_so(enrolled: Any) -> None:
    enrolled.sh("systemctl stop kegnet-client")
    enrolled.drop("left.pour", 171)
    files = enrolled.sh(f"find {ROOT}/conf {ROOT}/spool -type f -exec sha256sum {{}} + | sort")
    printed = enrolled.sh("/mnt/checkout/service/uninstall")
    assert f"{ROOT}/conf" in printed
    assert f"{ROOT}/spool" in printed
    assert "left.pour" in files
    assert enrolled.sh(f"find {ROOT}/conf {ROOT}/spool -type f -exec sha256sum {{}} + | sort") == files
    assert enrolled.sh(f"ls {ROOT}").split() == ["conf", "spool"]
    assert enrolled.try_sh("systemctl cat kegnet-client").returncode != 0
    assert enrolled.try_sh("command -v kegnet-client").returncode != 0


def test_an_installation_goes_on_with_what_uninstall_left(enrolled: Any) -> None:
    assert enrolled.install("--hub").returncode == 0
    enrolled.sh("systemctl start kegnet-hub kegnet-client")
    enrolled.wait_for_pours(171)


def test_purge_asks_and_does_nothing_without_a_yes(enrolled: Any) -> None:
    done = enrolled.try_sh("/mnt/checkout/service/uninstall --purge", stdin="no\n")
    assert done.returncode == 1
    assert "Nothing was removed" in done.stdout
    assert enrolled.show("kegnet-client", "ActiveState") == "active"


def test_purge_removes_everything_but_a_group_that_somebody_else_has(enrolled: Any) -> None:
    enrolled.sh("useradd -g kegnet before")
    done = enrolled.try_sh("/mnt/checkout/service/uninstall --purge", stdin="yes\n")
    assert done.returncode == 0, done.stderr
    assert "The group kegnet stays" in done.stdout
    assert enrolled.sh("id -gn before") == "kegnet"
    for gone in (f"ls {ROOT}", "ls /var/lib/kegnet-hub", "id kegnet-client", "id kegnet-hub", "id kegnet-bridge"):
        assert enrolled.try_sh(gone).returncode != 0, gone


def test_purge_removes_the_group_if_nobody_else_has_it(enrolled: Any) -> None:
    enrolled.sh("userdel before")
    assert enrolled.install().returncode == 0
    enrolled.sh("/mnt/checkout/service/uninstall --purge", stdin="yes\n")
    for gone in (f"ls {ROOT}", "getent passwd | grep ^kegnet-", "getent group kegnet"):
        assert enrolled.try_sh(gone).returncode != 0, gone
