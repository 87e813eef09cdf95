"""The addresses of this machine."""

import ipaddress
from pathlib import Path

from kegnet_client.host.network import own_addresses, parse_ipv6

TABLE = """\
00000000000000000000000000000001 01 80 10 80       lo
fd00000000000000021122fffe334455 02 40 00 00     eth0
fd000000000000000badc0de0badc0de 02 40 00 01     eth0
fe80000000000000021122fffe334455 02 40 20 80     eth0
"""


def test_addresses_that_change_daily_are_not_among_them() -> None:
    assert str(parse_ipv6(TABLE)[1]) == "fd00::211:22ff:fe33:4455"
    assert "fd00::bad:c0de:bad:c0de" not in map(str, parse_ipv6(TABLE))


def test_only_what_others_reach_this_machine_by_is_told(tmp_path: Path) -> None:
    (tmp_path / "if_inet6").write_text(TABLE)
    found = own_addresses(tmp_path / "if_inet6")
    assert "fd00::211:22ff:fe33:4455" in found
    assert not [
        one for one in found if ipaddress.ip_address(one).is_loopback or ipaddress.ip_address(one).is_link_local
    ]
    assert len(set(found)) == len(found)


def test_a_machine_without_ipv6_has_its_other_addresses(tmp_path: Path) -> None:
    assert all(ipaddress.ip_address(one).version == 4 for one in own_addresses(tmp_path / "none"))
