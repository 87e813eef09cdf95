"""The status LED on the machine: a service of its own user, whose LED says whether the client delivers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path("/usr/share/kegnet-client")
UNIT = "kegnet-led"
LED = "/run/leds/ACT"
SETTINGS = r"s|^\[Led\]$|[Led]\nname = ACT\ndirectory = /run/leds|"
DROP_IN = "[Service]\nReadWritePaths=/run/leds\n"


@pytest.fixture
def lit(enrolled: Any) -> Iterator[Any]:
    """The machine with an LED in its configuration, and files in the place of those of its kernel."""
    enrolled.sh(f"mkdir -p /etc/systemd/system/{UNIT}.service.d {LED} && cd {LED} && touch brightness trigger")
    enrolled.sh(
        f"cd {LED} && echo 255 >max_brightness && chgrp gpio brightness trigger && chmod g+w brightness trigger"
    )
    enrolled.sh(f"cat > /etc/systemd/system/{UNIT}.service.d/leds.conf", stdin=DROP_IN)
    enrolled.sh(f"cp {ROOT}/conf/client.conf /run/before.conf")
    enrolled.sh(f"sed -i '{SETTINGS}' {ROOT}/conf/client.conf")
    enrolled.sh("systemctl daemon-reload")
    yield enrolled
    enrolled.sh(f"systemctl stop {UNIT}; cp /run/before.conf {ROOT}/conf/client.conf")
    enrolled.sh("systemctl start kegnet-client")


def test_the_led_is_on_while_the_client_delivers_and_its_service_has_no_key(lit: Any) -> None:
    lit.drop("lit.pour", 274)
    lit.wait_for_pours(274)
    lit.sh(f"systemctl start {UNIT}")
    lit.wait_for(f"grep 255 {LED}/brightness")
    assert "led          ACT is on: the server takes records" in lit.sh("kegnet-client status")
    pid = lit.show(UNIT, "MainPID")
    assert lit.sh(f"ps -o user= -p {pid}") == "kegnet-led"
    assert lit.try_sh(f"cat /proc/{pid}/root{ROOT}/conf/privkey.pem", user="kegnet-led").returncode != 0
    lit.sh("systemctl stop kegnet-client")
    lit.wait_for(f"grep ^0 {LED}/brightness")
