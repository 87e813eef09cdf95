"""From which directory a device's relative paths hang."""

from pathlib import Path

from kegnet_client.host.root import find_root


def test_the_root_is_the_argument_else_the_environments_else_the_installed_one() -> None:
    assert find_root("/a", {"KEGNET_ROOT": "/b"}) == Path("/a")
    assert find_root(None, {"KEGNET_ROOT": "/b"}) == Path("/b")
    assert find_root(None, {"KEGNET_ROOT": ""}) == Path("/usr/share/kegnet-client")
    assert find_root(None, {}) == Path("/usr/share/kegnet-client")
    assert find_root("keg", {}) == Path.cwd() / "keg"
