"""The newcomer's walk: the README's steps from the box to the first pour, which the fixtures took, and what comes then.

All that is typed here stands on a page as it is, or with the newcomer's own words in the place of capital ones.
"""

import json
import re
from typing import Any

from ..support.pages import README, stands_on_a_page

NAMED = "Front bar"


def do(machine: Any, command: str, **own: str) -> str:
    """What ``command`` of a page prints, with ``own`` for its words."""
    assert stands_on_a_page(command), f"no page says {command!r}"
    words = [f"'{own[word]}'" if word in own else word for word in command.split()]
    printed: str = machine.sh(f"kegnet-client {' '.join(words)}")
    return printed


def test_a_newcomer_who_typed_what_the_page_says_has_a_hub_and_a_device_that_start_by_themselves(enrolled: Any) -> None:
    assert enrolled.show("kegnet-hub", "ActiveState") == "active"
    assert enrolled.show("kegnet-client", "ActiveState") == "active"
    assert enrolled.sh("systemctl is-enabled kegnet-hub kegnet-client").split() == ["enabled", "enabled"]
    assert [device["name"] for device in json.loads(do(enrolled, "hub devices list --json"))] == [NAMED]


def test_check_says_that_all_is_well(enrolled: Any) -> None:
    assert "`sudo kegnet-client check` tests everything" in README
    done = enrolled.try_sh("kegnet-client check")
    assert done.returncode == 0, done.stdout


def test_the_link_for_the_browser_opens_the_pages(enrolled: Any) -> None:
    link = re.search(r"https://\S+", do(enrolled, "hub login-link"))
    assert link
    ca = "/var/lib/kegnet-hub/ca.crt"
    page = enrolled.sh(f"curl -sS --cacert {ca} -L -c /tmp/cookies -o /dev/null -w '%{{http_code}}' '{link[0]}'")
    assert page == "200"


def test_the_first_pour_is_at_the_hub_and_both_ends_show_it(enrolled: Any) -> None:
    tap = "hub taps add NAME --device DEVICE --pin PIN"
    do(enrolled, tap, NAME="Left", DEVICE=NAMED, PIN="7")
    do(enrolled, "hub kegs tap TAP --beverage NAME --litres SIZE", TAP="Left", NAME="Pils", SIZE="19")
    # A short one: it began after the keg was tapped.
    do(enrolled, "pour --pin PIN --pulses N --elapsed-ms MS", PIN="7", N="777", MS="10")
    enrolled.wait_for_pours(777)
    enrolled.wait_for("kegnet-client hub status | grep -E 'Left.*Pils'")
    (left,) = [one for one in json.loads(do(enrolled, "hub status --json"))["taps"] if one["name"] == "Left"]
    assert left["keg"]["left_ml"] < 19_000
    enrolled.wait_for("kegnet-client status | grep -E '^waiting +0 '")
    enrolled.wait_for("journalctl -t kegnet-client | grep -E 'delivered .* of 777 pulses'")


def test_the_readme_names_what_the_newcomer_is_told_of_when_the_daemon_is_down(enrolled: Any) -> None:
    assert "`status` ends with 3 when the daemon does not run" in README
    enrolled.sh("systemctl stop kegnet-client")
    assert enrolled.try_sh("kegnet-client status").returncode == 3
    enrolled.sh("systemctl start kegnet-client")
    enrolled.wait_for("kegnet-client status")
