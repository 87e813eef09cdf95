"""kegnet-client as people meet it: installed, started by systemd, fed through the spool, watched in the log.

The tests are one story and share the machine that it happens on: each begins with, and leaves, a service that runs
and delivers to the hub on the same machine.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from ..support.pages import recipe

ROOT = Path("/usr/share/kegnet-client")
SPOOL = ROOT / "spool"
KEY = ROOT / "conf" / "privkey.pem"
STOP_S = 2.0

NEVER_ANSWERS = """
import pathlib, socket
listener = socket.create_server(("127.0.0.1", 8888))
connection, _ = listener.accept()
connection.recv(1)
pathlib.Path("/run/asked").touch()
listener.accept()
"""


def test_an_unconfigured_service_stays_down_and_its_status_says_why(installed: Any) -> None:
    assert installed.try_sh("systemctl start kegnet-client").returncode != 0
    assert installed.show("kegnet-client", "SubState") == "failed"
    assert installed.show("kegnet-client", "ExecMainStatus") == "78"
    status = installed.try_sh("systemctl status kegnet-client").stdout
    assert "[KegNet] uuid: is still commented out" in status


def test_a_hub_that_is_not_initialised_stays_down_and_says_why(installed: Any) -> None:
    assert installed.try_sh("systemctl start kegnet-hub").returncode != 0
    assert installed.show("kegnet-hub", "SubState") == "failed"
    assert "hub init" in installed.try_sh("systemctl status kegnet-hub").stdout


def test_the_installed_root_has_start_and_stop_commands(enrolled: Any) -> None:
    enrolled.sh(f"{ROOT}/stop-kegnet-client")
    assert enrolled.show("kegnet-client", "ActiveState") == "inactive"
    assert "active (running)" in enrolled.sh(f"{ROOT}/start-kegnet-client")


@pytest.mark.parametrize(
    "unit",
    [
        "kegnet-client",
        "kegnet-flow-meter",
        "kegnet-kegboard@ttyUSB0",
        "kegnet-led",
        "kegnet-local-events",
        "kegnet-hub",
        "kegnet-hub-bridge",
    ],
)
def test_the_sandbox_is_scored_1_5_or_better(enrolled: Any, unit: str) -> None:
    report = enrolled.sh(f"systemd-analyze security --no-pager {unit}")
    match = re.search(r"Overall exposure level for .*: ([0-9.]+)", report)
    assert match
    assert float(match[1]) <= 1.5, report


def test_the_bridge_is_started_by_whoever_wants_it_as_a_user_that_sees_nothing_of_the_hub(enrolled: Any) -> None:
    assert enrolled.show("kegnet-hub-bridge", "ActiveState") == "inactive"
    assert enrolled.try_sh("systemctl start kegnet-hub-bridge").returncode != 0
    recipe = re.search(r"sudo (sh -c '.*bridge\.token'), then", enrolled.sh("journalctl -u kegnet-hub-bridge"))
    assert recipe
    enrolled.sh(recipe[1])
    enrolled.sh("systemctl start kegnet-hub-bridge")
    enrolled.wait_for("systemctl status kegnet-hub-bridge | grep 'Status: .0 controllers'")
    process = enrolled.show("kegnet-hub-bridge", "MainPID")
    assert enrolled.sh(f"ps -o user= -p {process}") == "kegnet-bridge"
    assert enrolled.sh("id -Gn kegnet-bridge") == "kegnet-bridge"
    assert enrolled.try_sh("ls /var/lib/kegnet-hub", user="kegnet-bridge").returncode != 0
    enrolled.sh("kegnet-client hub token revoke bridge")
    enrolled.wait_for("journalctl -u kegnet-hub-bridge | grep 'hub token make bridge --role operate' | grep -v umask")
    enrolled.sh("systemctl stop kegnet-hub-bridge")


@pytest.mark.case(147)
def test_the_service_is_told_this_boot_which_its_sandbox_hides(enrolled: Any) -> None:
    process = enrolled.show("kegnet-client", "MainPID")
    told = enrolled.sh(f"tr '\\0' '\\n' < /proc/{process}/environ").splitlines()
    assert f"KEGNET_BOOT_ID={enrolled.sh('tr -d - < /proc/sys/kernel/random/boot_id')}" in told


def test_pours_copied_and_moved_into_the_spool_reach_the_hub_and_the_log(enrolled: Any) -> None:
    for pulses, command in ((101, "cp"), (102, "mv")):
        line = f'echo "0,{pulses},8123,$(date +%s%3N)" > ~/{command}.pour && {command} ~/{command}.pour {SPOOL}/'
        enrolled.sh(f"cd && {line}", user="tap", HOME="/home/tap")
    enrolled.wait_for_pours(101, 102)
    for pulses, name in ((101, "cp.pour"), (102, "mv.pour")):
        line = rf"kegnet-client\[[0-9]+\]: delivered {name}: pour of {pulses} pulses"
        enrolled.wait_for(f"grep -E '{line}' /var/log/user.log")
    enrolled.wait_for(f"! ls {SPOOL}/*.pour")


def test_the_recipe_of_the_readme_works_as_it_is_printed(enrolled: Any) -> None:
    enrolled.sh(f"cd {SPOOL} && {recipe()}", user="tap")
    enrolled.wait_for_pours(586)


def test_the_journal_has_what_a_program_looks_for(enrolled: Any) -> None:
    enrolled.drop("fields.pour", 111)
    enrolled.wait_for_pours(111)
    delivered = json.loads(enrolled.wait_for("journalctl -o json KEGNET_FILE=fields.pour | grep ."))
    assert delivered["SYSLOG_IDENTIFIER"] == "kegnet-client"
    assert delivered["KEGNET_RECORD"].startswith("pour of 111 pulses")
    assert delivered["KEGNET_HTTP_STATUS"] == "200"
    assert delivered["MESSAGE"].startswith("delivered fields.pour: ")

    enrolled.sh(f"echo nonsense > {SPOOL}/bad.pour", user="tap")
    rejected = json.loads(enrolled.wait_for("journalctl -o json KEGNET_FILE=bad.pour | grep ."))
    assert len(rejected["MESSAGE_ID"]) == 32
    assert rejected["PRIORITY"] == "4"
    assert "bad.pour" in enrolled.sh("kegnet-client rejected list", user="tap")


def test_the_status_says_what_matters(enrolled: Any) -> None:
    enrolled.drop("status.pour", 112)
    enrolled.wait_for_pours(112)
    enrolled.wait_for(
        "systemctl show -P StatusText kegnet-client | grep -E '^0 records waiting, last acknowledged at [0-9:]{8}'"
    )
    assert "kegnet-client" in enrolled.sh("kegnet-client status", user="tap")
    assert "does not run" not in enrolled.sh("kegnet-client status", user="tap")


def test_a_producer_can_add_and_neither_remove_anothers_record_nor_read_the_key(enrolled: Any) -> None:
    enrolled.sh(f"touch {SPOOL}/.mine.tmp", user="keg")
    for forbidden in (
        f"rm -f {SPOOL}/.mine.tmp",
        f"mv {SPOOL}/.mine.tmp {SPOOL}/.yours.tmp",
        f"cat {KEY}",
        "cat /run/credentials/kegnet-client.service/privkey.pem",
        f"touch {ROOT}/new",
        f"touch {ROOT}/conf/new",
        f"mv {SPOOL} {ROOT}/new",
    ):
        assert enrolled.try_sh(forbidden, user="tap").returncode != 0, forbidden
    enrolled.sh(f"rm {SPOOL}/.mine.tmp", user="keg")
    assert enrolled.sh(f"stat -c '%U %a' {KEY}") == "root 600"


def test_who_is_not_a_producer_cannot_even_look_into_the_spool(enrolled: Any) -> None:
    for forbidden in (f"touch {SPOOL}/new", f"ls {SPOOL}"):
        assert enrolled.try_sh(forbidden, user="guest").returncode != 0, forbidden


def test_the_service_user_cannot_change_what_root_runs(enrolled: Any) -> None:
    for name in ("bin", "conf", "service", "venv", "stop-kegnet-client"):
        forbidden = f"mv {ROOT}/{name} {ROOT}/moved"
        assert enrolled.try_sh(forbidden, user="kegnet-client").returncode != 0, forbidden


def test_a_reload_takes_over_a_changed_setting_and_the_thermometer_is_read_at_its_real_path(enrolled: Any) -> None:
    enrolled.set_temperature(3875)
    enrolled.change_configuration("pingInterval", "1")
    pid = enrolled.show("kegnet-client", "MainPID")
    enrolled.sh("systemctl reload kegnet-client")
    enrolled.wait_for("systemctl show -P StatusText kegnet-client | grep -F ', 3.9 °C'")
    enrolled.set_temperature(-1500)
    enrolled.wait_for("systemctl show -P StatusText kegnet-client | grep -F ', -1.5 °C'")
    deadline = time.monotonic() + 30
    while {3875, -1500} - {one["millidegrees"] for one in enrolled.stored("temperatures")}:
        assert time.monotonic() < deadline
    assert enrolled.show("kegnet-client", "MainPID") == pid
    enrolled.change_configuration("pingInterval", "600")
    enrolled.sh("systemctl reload kegnet-client")


def test_a_reload_of_a_bad_configuration_changes_nothing_and_says_so(enrolled: Any) -> None:
    enrolled.change_configuration("pingInterval", "often")
    enrolled.sh("systemctl reload kegnet-client")
    enrolled.wait_for("journalctl -u kegnet-client | grep -F 'the previous one stays in use'")
    enrolled.drop("old.pour", 121)
    enrolled.wait_for_pours(121)
    enrolled.change_configuration("pingInterval", "600")
    enrolled.sh("systemctl reload kegnet-client")
    enrolled.wait_for("systemctl is-active kegnet-client")


def test_a_killed_process_comes_back_and_delivers(enrolled: Any) -> None:
    pid = enrolled.show("kegnet-client", "MainPID")
    enrolled.sh("systemctl kill -s KILL kegnet-client")
    enrolled.drop("killed.pour", 131)
    enrolled.wait_for_pours(131)
    assert enrolled.show("kegnet-client", "MainPID") not in (pid, "0")


@pytest.mark.case(46)
def test_the_watchdog_catches_a_thread_that_stands_still(enrolled: Any) -> None:
    directory = "/run/systemd/system/kegnet-client.service.d"
    enrolled.sh(f"mkdir {directory} && printf '[Service]\nWatchdogSec=4\n' > {directory}/short.conf")
    enrolled.sh("systemctl daemon-reload")
    pid = enrolled.start_client()
    # The one that waits for inotify, held up by a debugger in its next system call.
    thread = enrolled.wait_for(f"grep -l poll_ /proc/{pid}/task/*/wchan | cut -d/ -f5 | grep .")
    hold = f"strace -qq -o /dev/null -p {thread} -e inject=all:delay_enter=600s"
    enrolled.sh(f"systemd-run -q --unit=hold {hold}")
    enrolled.wait_for("journalctl -u kegnet-client | grep -F 'Watchdog timeout'")
    enrolled.sh("systemctl stop hold")  # a thread that is held cannot die
    enrolled.sh(f"rm -r {directory} && systemctl daemon-reload")
    enrolled.drop("hung.pour", 132)
    enrolled.wait_for_pours(132)
    assert enrolled.show("kegnet-client", "MainPID") != str(pid)
    assert enrolled.sh("journalctl -u kegnet-client -o cat | grep -F 'uploader.py\", line'"), "where it stood"
    enrolled.start_client()  # with the unit's own watchdog


@pytest.mark.case(62)
def test_a_rejected_that_a_producer_made_first_is_not_used_and_another_is_made_once_it_is_moved_away(
    enrolled: Any,
) -> None:
    assert enrolled.sh(f"stat -c '%U %a' {SPOOL}/rejected") == "kegnet-client 2750"
    enrolled.sh(f"systemctl stop kegnet-client && mv {SPOOL}/rejected {ROOT}/mine")
    enrolled.sh(f"mkdir {SPOOL}/rejected && ln -s /etc/shadow {SPOOL}/rejected/x.pour.reason", user="tap")
    enrolled.sh(f"touch {SPOOL}/rejected/x.pour && echo nonsense > {SPOOL}/worse.pour", user="tap")
    enrolled.start_client()
    enrolled.wait_for("kegnet-client status | grep -F 'it belongs to the user tap'")
    listed = enrolled.try_sh("kegnet-client rejected list")
    assert (listed.returncode, listed.stdout) == (75, "")
    enrolled.drop("beside.pour", 133)
    enrolled.wait_for_pours(133)
    enrolled.sh(f"test -e {SPOOL}/worse.pour && mv {SPOOL}/rejected {ROOT}/taps && systemctl reload kegnet-client")
    enrolled.wait_for(f"test -e {SPOOL}/rejected/worse.pour")
    assert enrolled.sh(f"stat -c '%U' {SPOOL}/rejected") == "kegnet-client"
    enrolled.sh(f"rm -r {ROOT}/mine {ROOT}/taps")


@pytest.mark.case(61)
def test_what_a_producer_locks_stops_neither_the_service_nor_a_change_of_key_nor_send(enrolled: Any) -> None:
    locking = f"flock -s {SPOOL} flock -s {ROOT}/conf flock -s /run/kegnet-client sleep 600"
    enrolled.sh(f"systemd-run -q --uid=tap --gid=kegnet --unit=locking {locking}")
    enrolled.wait_for("! flock -n /run/kegnet-client true")
    assert enrolled.try_sh(f"cat /run/kegnet-client/*.lock {ROOT}/conf/.*.lock", user="tap").returncode != 0
    enrolled.start_client()
    in_use = enrolled.try_sh("kegnet-client send")
    assert (in_use.returncode, "another kegnet-client delivers" in in_use.stderr) == (75, True)
    assert "a kegnet-client delivers from it" in enrolled.sh("kegnet-client check")
    enrolled.sh("kegnet-client rotate-key")
    enrolled.sh("systemctl stop kegnet-client && rm /run/kegnet-client/*.lock")
    enrolled.drop("locked.pour", 134)
    enrolled.sh("kegnet-client send")
    assert enrolled.sh("stat -c '%U %a' /run/kegnet-client/*.lock") == "kegnet-client 600"
    enrolled.sh("systemctl start kegnet-client && systemctl stop locking")
    enrolled.wait_for_pours(134)


@pytest.mark.case(43)
def test_it_stops_at_once_with_a_request_in_the_air_and_sends_it_again(enrolled: Any) -> None:
    enrolled.sh(f"systemd-run -q --unit=never-answers /usr/bin/python3 -c '{NEVER_ANSWERS}'")
    enrolled.wait_for("ss -Hltn 'sport = 8888' | grep .")
    enrolled.change_configuration("serviceBaseURL", "http://127.0.0.1:8888/rest/v2")
    enrolled.start_client()
    enrolled.drop("air.pour", 141)
    enrolled.wait_for("test -e /run/asked")
    started = time.monotonic()
    enrolled.sh("systemctl stop kegnet-client")
    assert time.monotonic() - started < STOP_S
    assert enrolled.show("kegnet-client", "Result") == "success"
    enrolled.sh("systemctl stop never-answers")
    enrolled.change_configuration("serviceBaseURL", "https://localhost:8443/rest/v2")
    enrolled.start_client()
    enrolled.wait_for_pours(141)


def test_it_is_ready_without_a_server_and_delivers_once_there_is_one(enrolled: Any) -> None:
    enrolled.sh("systemctl stop kegnet-hub")
    enrolled.start_client()
    assert enrolled.show("kegnet-client", "ActiveState") == "active"
    enrolled.drop("waits.pour", 142)
    enrolled.wait_for("systemctl show -P StatusText kegnet-client | grep -E '^[1-9].* waiting.*no connection'")
    enrolled.sh("systemctl start kegnet-hub")
    enrolled.wait_for_pours(142)


def test_a_rotated_key_takes_over_and_no_pour_is_lost(enrolled: Any) -> None:
    old = enrolled.sh(f"sha256sum {KEY}")
    enrolled.drop("before.pour", 143)
    enrolled.sh("kegnet-client rotate-key")
    enrolled.drop("after.pour", 144)
    enrolled.wait_for_pours(143, 144)
    assert enrolled.sh(f"sha256sum {KEY}") != old
    assert enrolled.sh(f"stat -c '%U %a' {KEY}") == "root 600"
    assert enrolled.show("kegnet-client", "ActiveState") == "active"


@pytest.mark.case(35)
def test_a_missing_key_keeps_it_down_and_is_named(enrolled: Any) -> None:
    enrolled.sh(f"systemctl stop kegnet-client && mv {KEY} {KEY}.old")
    assert enrolled.try_sh("systemctl start kegnet-client").returncode != 0
    assert enrolled.show("kegnet-client", "SubState") == "failed"
    assert enrolled.show("kegnet-client", "ExecMainStatus") == "78"
    assert "privateKey: does not exist" in enrolled.try_sh("systemctl status kegnet-client").stdout
    enrolled.sh(f"mv {KEY}.old {KEY} && systemctl start kegnet-client")


@pytest.mark.case(6)
def test_a_spool_that_is_moved_away_is_made_anew_and_works(enrolled: Any) -> None:
    before = enrolled.sh(f"stat -c '%U %G %a' {SPOOL}")
    enrolled.sh(f"mv {SPOOL} {ROOT}/moved")
    enrolled.wait_for(f"test -d {SPOOL}")
    assert enrolled.sh(f"stat -c '%U %G %a' {SPOOL}") == before
    enrolled.drop("anew.pour", 151)
    enrolled.wait_for_pours(151)
    enrolled.sh(f"rm -r {ROOT}/moved")


def test_what_is_in_the_spool_at_a_reboot_is_delivered_after_it(enrolled: Any) -> None:
    enrolled.sh("systemctl stop kegnet-hub")
    pulses = range(2000, 2200)
    enrolled.sh(
        f"cd {SPOOL} && for n in $(seq {pulses[0]} {pulses[-1]}); do "
        'echo "0,$n,8123,$(date +%s%3N)" > .$n.tmp && mv .$n.tmp $n.pour; done',
        user="tap",
    )
    enrolled.reboot()
    enrolled.wait_for_pours(*pulses)
    enrolled.wait_for(f"! ls {SPOOL}/*.pour")
