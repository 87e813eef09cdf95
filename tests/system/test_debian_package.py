"""The Debian package on a machine that has none: installed, upgraded, removed, installed again, purged.

The tests are one story, and leave the machine as they found it. The package is the one that ``make deb`` built.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kegnet_client import __version__

CHECKOUT = Path(__file__).parents[2]
ROOT = Path("/usr/share/kegnet-client")
CONF = Path("/etc/kegnet-client")
SPOOL = Path("/var/spool/kegnet-client")
HUB = Path("/var/lib/kegnet-hub")
SWAP = f'-100, b"{SPOOL}.old", -100, b"{SPOOL}", 2'
"""What renameat2(2) takes to exchange the two."""
NEWER = "/root/newer.deb"
POURS = range(5000, 5080)
BOARD = "kegnet-kegboard@ttyUSB0"
STAND_IN = "[Service]\nExecStart=/bin/sleep infinity\n"
"""For the service of a board, which needs a device that no udev is there to tell of."""


@pytest.fixture(scope="module")
def package() -> str:
    """The built package, as it is seen in the machine."""
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=False)
    path = Path("dist") / f"kegnet-client_{__version__}_{done.stdout.strip()}.deb"
    if not (CHECKOUT / path).exists():
        pytest.skip(f"there is no {path}: make deb")
    return f"/mnt/checkout/{path}"


@pytest.fixture(scope="module")
def packaged(machine: Any, package: str) -> Iterator[Any]:
    """The machine with the package installed, nothing configured yet."""
    # What keeps services from being started where there is no systemd.
    machine.sh("rm -f /usr/sbin/policy-rc.d")
    done = machine.try_sh(f"dpkg -i {package}")
    assert done.returncode == 0, done.stderr
    assert "not set up yet" in done.stdout
    machine.sh("useradd -m -G kegnet tap")
    yield machine
    machine.sh(f"dpkg -P kegnet-client; rm -rf {SPOOL} {HUB}; userdel -r tap")


@pytest.fixture(scope="module")
def at_work(packaged: Any) -> Any:
    """The machine with a hub, and the client known to it and running."""
    packaged.sh(
        f"""
        set -e
        kegnet-client hub init --host localhost
        systemctl start kegnet-hub
        kegnet-client init --url https://localhost:8443/rest/v2 --ca {HUB}/ca.crt
        kegnet-client hub devices add "$(sed -n 's/^uuid = //p' {ROOT}/conf/client.conf)" {ROOT}/conf/device.pub
        systemctl start kegnet-client
        """
    )
    return packaged


def install(machine: Any, package: str) -> Any:
    done = machine.try_sh(f"dpkg -i {package}")  # stdin is empty: a question would be an error
    assert done.returncode == 0, done.stderr
    return done


def test_every_path_of_the_readme_holds(packaged: Any) -> None:
    assert packaged.sh(f"readlink -f {ROOT}/conf {ROOT}/spool").split() == [str(CONF), str(SPOOL)]
    for program in (f"{ROOT}/bin/kegnet-client", "/usr/bin/kegnet-client"):
        assert packaged.sh(f"{program} --version") == f"kegnet-client {__version__}"
    packaged.sh(
        f"test -x {ROOT}/start-kegnet-client -a -x {ROOT}/stop-kegnet-client -a -e {ROOT}/service/kegnet-client.service"
    )
    assert packaged.sh(f"stat -c '%U %G %a' {SPOOL}") == "kegnet-client kegnet 3770"
    assert packaged.sh(f"stat -c '%U %a' {SPOOL}/rejected") == "kegnet-client 2750"
    pages = "man8/kegnet-client.8.gz man8/kegnet-hub.8.gz man5/kegnet-client.conf.5.gz man5/kegnet-spool.5.gz"
    packaged.sh(f"cd /usr/share/man && ls {pages}")


def test_it_stands_beside_cups(packaged: Any, tmp_path: Path) -> None:
    command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "cups-client"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cups-client cannot be downloaded: {done.stderr.strip()}")
    (deb,) = tmp_path.glob("*.deb")
    shutil.copy(deb, packaged.packages / "cups-client.deb")
    # It needs libraries that are not here; whether two packages have one file is seen when they are unpacked.
    done = packaged.try_sh("dpkg --unpack /mnt/packages/cups-client.deb")
    packaged.sh("dpkg -P cups-client")
    assert done.returncode == 0, done.stderr


def test_the_client_starts_at_boot_and_the_hub_only_if_wanted(packaged: Any) -> None:
    assert packaged.try_sh("systemctl is-enabled kegnet-client kegnet-hub").stdout.split() == ["enabled", "disabled"]
    assert packaged.try_sh("systemctl is-active kegnet-client kegnet-hub").stdout.split() == ["inactive", "inactive"]


def test_nothing_is_compiled_at_every_start(packaged: Any) -> None:
    packaged.sh("test -n \"$(find /usr/lib/kegnet-client -path '*/kegnet_client/__pycache__/cli.*.pyc')\"")


def test_a_pour_arrives_at_the_hub(at_work: Any) -> None:
    at_work.drop("mine.pour", 501)
    at_work.wait_for_pours(501)


def test_the_key_is_root_s_alone(at_work: Any) -> None:
    assert at_work.sh(f"stat -c '%U %a' {CONF}/privkey.pem") == "root 600"


def test_another_key_is_put_where_the_service_gets_it_from(at_work: Any) -> None:
    before = at_work.sh(f"sha256sum {CONF}/privkey.pem")
    at_work.sh("kegnet-client rotate-key")
    assert at_work.sh(f"sha256sum {CONF}/privkey.pem") != before
    at_work.drop("rotated.pour", 506)
    at_work.wait_for_pours(506)


@pytest.mark.parametrize("unit", ["kegnet-client", "kegnet-hub"])
def test_the_sandbox_is_as_tight_as_without_the_package(at_work: Any, unit: str) -> None:
    report = at_work.sh(f"systemd-analyze security --no-pager {unit}")
    assert float(report.rpartition("level for")[2].split()[1]) <= 1.5, report


def test_a_spool_that_was_made_anew_works(at_work: Any) -> None:
    at_work.sh("systemctl stop kegnet-client")
    at_work.sh(f"mv {SPOOL} {SPOOL}.old && systemctl start kegnet-client && rm -r {SPOOL}.old")
    at_work.drop("anew.pour", 502)
    at_work.wait_for_pours(502)
    # Under the running daemon, in one step: it sees that the directory moved and finds another in its place.
    at_work.sh(
        f"install -d -o kegnet-client -g kegnet -m 3770 {SPOOL}.old && "
        f"python3 -c 'import ctypes; print(ctypes.CDLL(None).renameat2({SWAP}))' | grep -qx 0"
    )
    at_work.drop("replaced.pour", 503)
    at_work.wait_for_pours(503)
    at_work.wait_for(f"! ls {SPOOL}/*.pour")
    at_work.sh(f"rm -r {SPOOL}.old")


def test_an_upgrade_restarts_the_daemon_keeps_everything_and_loses_no_pour(at_work: Any, package: str) -> None:
    at_work.sh(
        f"dpkg-deb -R {package} /root/newer && sed -i 's/^Version: .*/&+newer/' /root/newer/DEBIAN/control && "
        # As every version does that has a setting more; this device's own was changed by `init`.
        f"grep -rlF '[Spool]' /root/newer/etc /root/newer{ROOT} | xargs sed -i '$a# a setting more' && "
        f"dpkg-deb -Zgzip -z1 -b /root/newer {NEWER} && rm -r /root/newer"
    )
    kept = at_work.sh(f"sha256sum {CONF}/*; stat -c '%n %U %G %a' {CONF}/* {SPOOL}")
    at_work.sh("cat > /run/systemd/system/kegnet-kegboard@.service", stdin=STAND_IN)
    at_work.sh(f"systemctl daemon-reload && systemctl start {BOARD}")
    units = ("kegnet-client", "kegnet-hub", BOARD)
    pids = [at_work.show(unit, "MainPID") for unit in units]
    at_work.sh(
        "systemd-run -q --uid=tap --gid=kegnet --unit=pouring sh -c '"
        f"cd {ROOT}/spool; for n in $(seq {POURS[0]} {POURS[-1]}); do "
        'echo "0,$n,8123,$(date +%s%3N)" > .$n.tmp; mv .$n.tmp $n.pour; sleep 0.1; done\''
    )
    install(at_work, NEWER)
    assert [at_work.show(unit, "ActiveState") for unit in units] == ["active"] * 3
    assert not {at_work.show(unit, "MainPID") for unit in units} & set(pids)
    at_work.sh(f"systemctl stop {BOARD} && rm /run/systemd/system/kegnet-kegboard@.service && systemctl daemon-reload")
    at_work.wait_for_pours(*POURS)
    assert at_work.sh(f"sha256sum {CONF}/*; stat -c '%n %U %G %a' {CONF}/* {SPOOL}") == kept


def test_removal_keeps_configuration_key_and_spool(at_work: Any) -> None:
    at_work.sh("systemctl stop kegnet-client")
    at_work.drop("left.pour", 504)
    kept = at_work.sh(f"sha256sum {CONF}/* {SPOOL}/*.pour")
    at_work.sh("systemctl start kegnet-hub && dpkg -r kegnet-client")
    assert at_work.sh(f"sha256sum {CONF}/* {SPOOL}/*.pour") == kept
    assert at_work.try_sh("systemctl is-active kegnet-client kegnet-hub").stdout.split() == ["inactive", "inactive"]
    assert at_work.try_sh(f"ls -d {ROOT} /usr/lib/kegnet-client /usr/bin/kegnet-client").stdout == ""


def test_an_installation_goes_on_with_what_removal_left(at_work: Any) -> None:
    install(at_work, NEWER)
    at_work.sh("systemctl start kegnet-hub")
    at_work.wait_for("systemctl is-active kegnet-client")
    at_work.wait_for_pours(504)


def test_purge_removes_the_key_but_no_record_that_waits_and_says_so(at_work: Any) -> None:
    at_work.sh("systemctl stop kegnet-client")
    at_work.drop("waits.pour", 505)
    printed = at_work.sh("dpkg -P kegnet-client")
    assert f"kept is {SPOOL}" in printed
    assert f"kept is {HUB}" in printed
    at_work.sh(f"test -e {SPOOL}/waits.pour -a -e {HUB}/hub.db -a ! -e {CONF}")
    assert at_work.sh("find /etc -name '*kegnet*'") == ""


def test_purge_removes_a_spool_in_which_nothing_waits(at_work: Any) -> None:
    install(at_work, NEWER)
    at_work.sh(f"rm {SPOOL}/waits.pour && mkdir -p {SPOOL}/rejected && dpkg -P kegnet-client && test ! -e {SPOOL}")


def test_what_service_install_left_is_not_taken_over_where_there_is_another_spool(at_work: Any) -> None:
    at_work.sh(f"mkdir -p {ROOT}/spool {SPOOL} && touch {ROOT}/spool/1.pour {SPOOL}/2.pour")
    done = at_work.try_sh(f"dpkg -i {NEWER}")
    left = at_work.sh(f"ls {ROOT}/spool {SPOOL}")
    at_work.sh(f"dpkg -P kegnet-client; rm -r {ROOT} {SPOOL}")
    assert done.returncode != 0
    assert f"{ROOT}/spool and {SPOOL} both hold files" in done.stderr
    assert "1.pour" in left
    assert "2.pour" in left
