"""How others reach the hub, and the command by which a device joins it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kegnet_client.core.wire.base_url import is_loopback
from kegnet_client.core.wire.enrolment import format_code
from kegnet_client.hub import pki


@dataclass(frozen=True, slots=True)
class Entrance:
    """How the hub is reached: its port, the certificate of its CA in DER, and what tells whom its own is for."""

    read_hosts: Callable[[], Sequence[str]]
    port: int
    ca_der: bytes

    @property
    def hosts(self) -> Sequence[str]:
        """The names and addresses that the hub's certificate is for, now: it may be issued anew while the hub runs."""
        return self.read_hosts()

    @property
    def host(self) -> str:
        """The one by which other machines reach the hub, if there is one."""
        return reachable_host(self.hosts)

    @property
    def url(self) -> str:
        """Where they reach it."""
        return url_of(self.host, self.port)

    def enrol_command(self, secret: bytes) -> str:
        """What is pasted on a device; ``secret`` is of `kegnet_client.hub.store.enrolment.invite`."""
        return enrol_command(self.url, self.ca_der, secret)


def default_hosts(name: str, addresses: Sequence[str]) -> list[str]:
    """What a hub's certificate is for on the machine ``name`` with ``addresses``, if nobody says otherwise.

    A name without a domain is found as ``name.local`` on a network that has no names of its own (mDNS).
    """
    names = [name.lower()] if pki.is_host(name) else []
    if names and "." not in name:
        names.append(f"{names[0]}.local")
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", *names, *addresses]))


def reachable_host(hosts: Sequence[str]) -> str:
    """The one of ``hosts`` by which other machines reach the hub, if there is one."""
    return next((host for host in hosts if not is_loopback(host)), hosts[0])


def url_of(host: str, port: int) -> str:
    """``host`` may be an IPv6 address."""
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def enrol_command(url: str, ca_der: bytes, secret: bytes, replaces: str | None = None) -> str:
    """The command that enrols a device at ``url``, or lets the device ``replaces`` (a uuid) come back."""
    option = "" if replaces is None else "--replace "
    return f"sudo kegnet-client enroll {option}{url} {format_code(ca_der, secret, replaces)}"
