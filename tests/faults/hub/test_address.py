"""A hub that is started before the network is."""

import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ...support.program import COMMAND, Program

ADDRESS = "10.77.0.1"


@pytest.fixture
def namespace(as_root: None) -> Iterator[str]:
    """A network with nothing but its loopback, by its name."""
    name = f"kegnet-{secrets.token_hex(3)}"
    done = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no network of its own is to be had: {done.stderr.strip()}")
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


def test_a_hub_that_is_started_before_its_address_exists_answers_as_soon_as_it_does(
    namespace: str, tmp_path: Path, start_program: Callable[..., Program]
) -> None:
    directory = tmp_path / "hub"
    init: list[str | Path] = [COMMAND, "hub", "init", "--host", ADDRESS, "--dir", directory]
    subprocess.run(init, check=True, capture_output=True)
    enter = ["ip", "netns", "exec", namespace]
    hub = start_program([*enter, COMMAND, "hub", "run", "--dir", directory, "--bind", ADDRESS])
    hub.log.wait_for(f"this machine has no address {ADDRESS} yet")
    hub.log.wait_for("The hub answers at ")

    def ask() -> int:
        url = f"https://{ADDRESS}:8443/ca.crt"
        argv: list[str | Path] = [*enter, "curl", "-sS", "-m", "5", "-o", "/dev/null", "--cacert", directory / "ca.crt"]
        return subprocess.run([*argv, url], check=False, capture_output=True).returncode

    assert ask() != 0
    subprocess.run(["ip", "-n", namespace, "addr", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    assert ask() == 0
    assert hub.stop()[0] == 0
