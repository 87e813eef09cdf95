"""The runner as a service: a producer that was pushed puts a pour into the spool, from a box without privileges."""

import json
import re
from typing import Any

import pytest

from .conftest import INSTALLED

UNIT = "kegnet-runner"
COUCH = "http://127.0.0.1:5984"
STATE = "/var/lib/kegnet-runner"

PRODUCER = """
import os, pathlib, time

def attempt(what, work):
    try:
        log("%s: %s", what, work())
    except Exception as error:
        log("%s fails: %s", what, type(error).__name__)

def main():
    attempt("key", lambda: open("/usr/share/kegnet-client/conf/privkey.pem").read())
    attempt("password", lambda: open("/var/lib/kegnet-runner/password").read())
    attempt("configuration", lambda: open("/usr/share/kegnet-client/conf/client.conf").read())
    attempt("system", lambda: open("/usr/mine", "w"))
    log("state %d", pathlib.Path(os.environ["KEGNET_STATE"], "here").write_text("mine"))
    spool = pathlib.Path(os.environ["KEGNET_SPOOL"])
    (spool / ".new.tmp").write_text("0,4711,8123,%d\\n" % (time.time() * 1000))
    (spool / ".new.tmp").rename(spool / "new.pour")
    log("poured")
    forked = 0
    try:
        for forked in range(1000):
            if os.fork() == 0:
                time.sleep(600)
    except OSError:
        log("forks end at %d", forked)
    while not should_quit():
        time.sleep(0.1)
"""


@pytest.fixture
def runner(enrolled: Any) -> Any:
    """The machine with a database and an operator whom it trusts."""
    enrolled.sh("ssh-keygen -q -t ed25519 -N '' -C ann -f /root/ann")
    line = "$(cut -d' ' -f1,2 /root/ann.pub)"
    enrolled.sh(f'echo "ann namespaces=\\"kegnet-module\\" {line}" > {INSTALLED}/conf/allowed_signers')
    enrolled.sh("systemd-run -q --unit couch /usr/bin/python3 /mnt/checkout/tests/support/small_couch.py 5984")
    settings = f"[Runner]\\nurl = {COUCH}\\nallowSpool = yes\\nmacId = 4711"
    enrolled.sh(f"sed -i 's|^\\[Runner\\]$|{settings}|' {INSTALLED}/conf/client.conf")
    enrolled.wait_for(
        f"curl -s {COUCH} -o /dev/null || python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 5984))'"
    )
    return enrolled


def test_a_producer_that_was_pushed_pours_from_its_box_and_reaches_nothing_else(runner: Any) -> None:
    runner.sh(f"systemctl start {UNIT}")
    assert json.loads(runner.sh("kegnet-client runner identity --json", user=UNIT))["mac_id"] == 4711
    runner.sh("cat > /root/producer.py", stdin=PRODUCER)
    runner.sh("kegnet-client module sign /root/producer.py --key /root/ann --to 4711 --spool > /root/producer.json")
    runner.sh(f"kegnet-client module push /root/producer.json --url {COUCH}")
    runner.wait_for_pours(4711)
    said = runner.wait_for(f"journalctl -u {UNIT} --no-pager -o cat | grep -B9 poured")
    for what in ("key", "password", "configuration", "system"):
        assert re.search(rf"^\[producer\] {what} fails: (FileNotFound|OS|Permission)Error$", said, re.MULTILINE), said
    assert "[producer] state 4" in said
    runner.wait_for(f"journalctl -u {UNIT} --no-pager -o cat | grep -E 'forks end at [456][0-9]$'")
    assert runner.sh(f"stat -c %U {STATE}/programs/*.json") == UNIT
    report = runner.sh(f"systemd-analyze security --no-pager {UNIT}")
    match = re.search(r"Overall exposure level for .*: ([0-9.]+)", report)
    assert match
    assert float(match[1]) <= 4.0, report
    runner.sh(f"systemctl stop {UNIT}")
    assert runner.try_sh("pgrep -x bwrap").returncode == 1
