"""The addresses of this machine, by which others on its network reach it."""

import fcntl
import ipaddress
import socket
import struct
from pathlib import Path

IPV6_ADDRESSES = Path("/proc/net/if_inet6")

# Linux's, from linux/sockios.h and linux/if_addr.h.
_SIOCGIFADDR = 0x8915
_TEMPORARY = 0x01
_NAME_BYTES = 16
_REQUEST_BYTES = 40

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def own_addresses(ipv6_addresses: Path = IPV6_ADDRESSES) -> list[str]:
    """The addresses of this machine's interfaces, without loopback ones and those that hold on one link alone.

    IPv4 first, one an interface; of IPv6 those that stay, not the ones that privacy extensions change daily.
    """
    found: list[_Address] = [*_ipv4(), *parse_ipv6(_read(ipv6_addresses))]
    return [str(one) for one in dict.fromkeys(found) if not (one.is_loopback or one.is_link_local or one.is_multicast)]


def parse_ipv6(text: str) -> list[ipaddress.IPv6Address]:
    """The lasting ones in ``text``, as in `IPV6_ADDRESSES`: address, index, length, scope, flags, name a line."""
    found = []
    for line in text.splitlines():
        address, _index, _length, _scope, flags, _name = line.split()
        if not int(flags, 16) & _TEMPORARY:
            found.append(ipaddress.IPv6Address(int(address, 16)))
    return found


def _ipv4() -> list[ipaddress.IPv4Address]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _index, name in socket.if_nameindex():
            request = struct.pack(f"{_REQUEST_BYTES}s", name.encode()[: _NAME_BYTES - 1])
            try:
                answer = fcntl.ioctl(asked, _SIOCGIFADDR, request)
            except OSError:  # it has none
                continue
            found.append(ipaddress.IPv4Address(answer[20:24]))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:  # this kernel has no IPv6
        return ""
