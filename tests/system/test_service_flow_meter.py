"""Flow meters on the machine: a service of its own user; a pipe is the line, and its pulses become the hub's row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path("/usr/share/kegnet-client")
UNIT = "kegnet-flow-meter"
SECTION = "\n[FlowMeter tap1]\nline = 17\npin = 5\nidle = 0.5\n"
DROP_IN = """[Service]
Environment=PYTHONPATH=/mnt/checkout/tests/support/gpio STAND_IN_GPIO=/run/gpio
"""
TURN = """
import os, struct, time
now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
edges = b"".join(struct.pack("=QI", now_ns - (271 - number) * 3_703_704, number) for number in range(1, 272))
os.write(os.open("/run/gpio/gpiochip0/17", os.O_WRONLY | os.O_NONBLOCK), edges)
"""


@pytest.fixture
def metered(enrolled: Any) -> Iterator[Any]:
    """The machine with a meter in its configuration, and the client at work."""
    enrolled.sh(f"mkdir -p /etc/systemd/system/{UNIT}.service.d /run/gpio/gpiochip0")
    enrolled.sh(f"cat > /etc/systemd/system/{UNIT}.service.d/line.conf", stdin=DROP_IN)
    enrolled.sh("[ -p /run/gpio/gpiochip0/17 ] || mkfifo -m 660 /run/gpio/gpiochip0/17; chgrp -R gpio /run/gpio")
    enrolled.sh(f"cp {ROOT}/conf/client.conf /run/before.conf")
    enrolled.sh(f"cat >> {ROOT}/conf/client.conf", stdin=SECTION)
    enrolled.sh("systemctl daemon-reload")
    yield enrolled
    enrolled.sh(f"systemctl stop {UNIT}; cp /run/before.conf {ROOT}/conf/client.conf")


def test_what_a_meter_counts_is_a_row_at_the_hub_and_its_service_has_no_key(metered: Any) -> None:
    metered.sh(f"systemctl start {UNIT}")
    metered.wait_for(f"systemctl status {UNIT} | grep 'Status: .counts tap1'")
    metered.sh(f"python3 -c '{TURN}'")
    metered.wait_for_pours(271)
    assert {(pour["pin"], pour["pulses"]) for pour in metered.stored("pours") if pour["pulses"] == 271} == {(5, 271)}
    said = metered.sh("kegnet-client status")
    assert "flow meter   tap1: last pulse at" in said
    pid = metered.show(UNIT, "MainPID")
    assert metered.sh(f"ps -o user= -p {pid}") == "kegnet-flow"
    assert metered.try_sh(f"cat /proc/{pid}/root{ROOT}/conf/privkey.pem", user="kegnet-flow").returncode != 0
