"""`kegnet-client init`: a device out of nothing, and nothing lost of what was there."""

import contextlib
import os
import re
import resource
import stat
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.edit import fill, render
from kegnet_client.config.parse import load
from kegnet_client.core.errors import ConfigError, KegnetError, UsageError
from kegnet_client.core.wire.base_url import Version
from kegnet_client.enrolment.provision import init
from kegnet_client.keys import load_identity
from kegnet_client.net.tls import SYSTEM_CA_BUNDLE
from kegnet_client.sinks.kegnet_section import KEGNET

URL = "https://hub.example/rest/v2"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ca")
    subprocess.run(
        [
            "sh",
            "-c",
            "openssl ecparam -name prime256v1 -genkey -noout -out key.pem && "
            "openssl req -x509 -new -key key.pem -subj /CN=CA -out ca.pem",
        ],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    return directory / "ca.pem"


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every path below ``root`` with its mode and content."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
    }


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refusal(kind: type[KegnetError], root: Path, url: str = URL, ca: Path | None = None) -> str:
    """What ``init`` says, having left everything as it was."""
    before = tree(root)
    with pytest.raises(kind) as caught:
        init(root, SECTIONS, url, ca)
    assert tree(root) == before
    return str(caught.value)


def test_an_empty_root_becomes_a_device(tmp_path: Path) -> None:
    made = init(tmp_path, SECTIONS, URL + "/")
    settings = load(tmp_path, None, SECTIONS).section(KEGNET)
    assert settings.uuid == made.uuid
    assert UUID(made.uuid).version == 4
    assert settings.base.url == URL
    assert settings.ca_bundle == made.ca_bundle == SYSTEM_CA_BUNDLE
    assert settings.private_key == made.private_key == tmp_path / "conf/privkey.pem"
    identity = load_identity(settings.uuid, settings.private_key, Version.V1)
    assert identity.public_pem().decode() == made.public_pem == made.public_key.read_text()
    assert made.certificate_request.read_bytes() == identity.certificate_request()
    assert sorted(path.name for path in (tmp_path / "conf").iterdir()) == [
        "client.conf",
        "device.csr",
        "device.pub",
        "privkey.pem",
    ]


def test_it_says_what_to_do_next(tmp_path: Path) -> None:
    made = init(tmp_path, SECTIONS, URL)
    register, check = made.next_steps
    assert "hub.example" in register
    assert str(made.public_key) in register
    assert check.endswith(f"kegnet-client --root {tmp_path} check")


def test_two_devices_have_nothing_in_common(tmp_path: Path) -> None:
    one, other = init(tmp_path / "one", SECTIONS, URL), init(tmp_path / "other", SECTIONS, URL)
    assert one.uuid != other.uuid
    assert one.public_pem != other.public_pem


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_key_is_the_owners_alone_and_the_rest_readable_whatever_the_umask(
    tmp_path: Path, ca: Path, mask: int
) -> None:
    with umask(mask):
        made = init(tmp_path, SECTIONS, URL, ca)
    assert mode(made.private_key) == 0o600
    for path in (made.file, made.public_key, made.certificate_request, made.ca_bundle):
        assert mode(path) == 0o644


def test_the_key_was_never_open_to_others_for_a_moment(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import pyinotify
    (tmp_path / "conf").mkdir()
    manager = pyinotify.WatchManager()
    seen: list[str] = []
    notifier = pyinotify.Notifier(manager, lambda event: seen.append(f"{event.name} {event.maskname}"), timeout=100)
    try:
        manager.add_watch(str(tmp_path / "conf"), pyinotify.IN_CREATE | pyinotify.IN_ATTRIB)
        with umask(0):
            made = init(tmp_path, SECTIONS, URL)
        assert notifier.check_events()
        notifier.read_events()
        notifier.process_events()
    finally:
        notifier.stop()
    # Created with the mode that it has at the end, and that was not changed in between.
    assert [event for event in seen if event.startswith("privkey.pem")] == ["privkey.pem IN_CREATE"]
    assert mode(made.private_key) == 0o600


def test_the_shipped_file_is_filled_in_and_else_kept(tmp_path: Path) -> None:
    file = tmp_path / "conf/client.conf"
    file.parent.mkdir()
    file.write_text(render(SECTIONS) + "# mine\n")
    file.chmod(0o640)
    made = init(tmp_path, SECTIONS, URL)
    values = {"uuid": made.uuid, "base": URL, "ca_bundle": "system"}
    assert file.read_text() == fill(render(SECTIONS) + "# mine\n", KEGNET, values)
    assert mode(file) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_configuration_keeps_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "conf/client.conf"
    file.parent.mkdir()
    file.write_text(render(SECTIONS))
    os.chown(file, 12345, 12346)
    init(tmp_path, SECTIONS, URL)
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12346)


def test_a_linked_configuration_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "conf").symlink_to("etc")
    (tmp_path / "etc/client.conf").symlink_to("../real.conf")
    (tmp_path / "real.conf").write_text(render(SECTIONS))
    made = init(tmp_path, SECTIONS, URL)
    assert (tmp_path / "etc/client.conf").is_symlink()
    assert f"uuid = {made.uuid}" in (tmp_path / "real.conf").read_text()


def test_settings_that_were_made_before_hold(tmp_path: Path, ca: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/client.conf").write_text(f"[KegNet]\nprivateKey = own.key\ncaBundle = {ca}\n")
    made = init(tmp_path, SECTIONS, URL)
    assert made.private_key == tmp_path / "own.key"
    assert mode(tmp_path / "own.key") == 0o600
    assert load(tmp_path, None, SECTIONS).section(KEGNET).ca_bundle == made.ca_bundle == ca


def test_the_given_ca_is_copied_and_is_all_that_is_trusted(tmp_path: Path, ca: Path) -> None:
    made = init(tmp_path, SECTIONS, URL, ca)
    assert made.ca_bundle == tmp_path / "conf/ca.crt"
    assert made.ca_bundle.read_bytes() == ca.read_bytes()
    assert load(tmp_path, None, SECTIONS).section(KEGNET).ca_bundle == made.ca_bundle


def test_a_ca_that_is_there_already_is_not_given_up_for_the_systems(tmp_path: Path, ca: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/ca.crt").write_bytes(ca.read_bytes())
    assert (
        init(tmp_path, SECTIONS, URL).ca_bundle
        == load(tmp_path, None, SECTIONS).section(KEGNET).ca_bundle
        == tmp_path / "conf/ca.crt"
    )


def test_the_same_ca_may_be_there_already(tmp_path: Path, ca: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/ca.crt").write_bytes(ca.read_bytes())
    assert init(tmp_path, SECTIONS, URL, ca).ca_bundle.read_bytes() == ca.read_bytes()


def test_another_ca_that_is_there_is_not_overwritten(tmp_path: Path, ca: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/ca.crt").write_bytes(b"# mine\n" + ca.read_bytes())
    assert "conf/ca.crt: caBundle: differs from what --ca names" in refusal(ConfigError, tmp_path, ca=ca)


def test_an_unusable_ca_that_is_there_is_found_before_the_first_write(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/ca.crt").write_text("hello")
    assert "holds no PEM certificate" in refusal(ConfigError, tmp_path)


@pytest.mark.parametrize("name", ["privkey.pem", "device.pub", "device.csr"])
@pytest.mark.parametrize("dangling", [False, True])
def test_nothing_that_exists_is_overwritten(tmp_path: Path, name: str, dangling: bool) -> None:
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / name
    if dangling:
        path.symlink_to("elsewhere")
    else:
        path.write_text("mine")
    assert f"{path}: already exists and was not changed; " in refusal(ConfigError, tmp_path)


def test_a_key_is_not_overwritten_by_what_is_made_after_it(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/client.conf").write_text("[KegNet]\nprivateKey = conf/device.pub\n")
    assert "conf/device.pub: cannot be written (File exists)" in refusal(ConfigError, tmp_path)


def test_a_second_init_changes_nothing(tmp_path: Path, ca: Path) -> None:
    init(tmp_path, SECTIONS, URL, ca)
    assert "conf/client.conf: [KegNet] uuid: is already set" in refusal(ConfigError, tmp_path)
    (tmp_path / "conf/client.conf").unlink()
    told = refusal(ConfigError, tmp_path)
    assert re.findall(r"conf/(\S+): already exists", told) == ["privkey.pem", "device.pub", "device.csr"]


def test_what_the_refusals_say_makes_a_new_device(tmp_path: Path) -> None:
    first = init(tmp_path, SECTIONS, URL)
    text = re.sub("^(uuid|serviceBaseURL)", r"#\1", first.file.read_text(), flags=re.MULTILINE)
    first.file.write_text(text)
    for command in re.findall("`(.*?)`", refusal(ConfigError, tmp_path)):
        subprocess.run(["sh", "-c", command], check=True)
    assert init(tmp_path, SECTIONS, URL).uuid != first.uuid
    assert (tmp_path / "conf/privkey.pem.old").exists()


def test_a_url_that_is_set_already_is_kept(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/client.conf").write_text("[KegNet]\nserviceBaseURL = https://mine.example/rest/v2\n")
    assert "[KegNet] serviceBaseURL: is already set" in refusal(ConfigError, tmp_path)


@pytest.mark.parametrize("text", ["deadline = 5\n", "[KegNet]\ndeadline = x\n", "[KegNet]\n  deadline = 5\n"])
def test_a_faulty_configuration_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/client.conf").write_text(text)
    assert "conf/client.conf: " in refusal(ConfigError, tmp_path)


@pytest.mark.parametrize("url", ["", "hub.example", "http://hub.example/rest/v2", "https://hub.example/\nrest/v2"])
def test_a_bad_url_is_refused_before_anything_else(tmp_path: Path, url: str) -> None:
    told = refusal(UsageError, tmp_path, url, tmp_path / "no-such-ca")
    assert told.startswith(f"--url {url!r}: ")
    assert told.isprintable()


def test_a_bad_ca_is_refused(tmp_path: Path, ca: Path) -> None:
    remedy = "name the file with the server's CA certificate"
    none = tmp_path / "none"
    assert (
        refusal(UsageError, tmp_path, ca=none) == f"--ca {none}: cannot be read (No such file or directory); {remedy}"
    )
    assert refusal(UsageError, tmp_path, ca=tmp_path) == f"--ca {tmp_path}: cannot be read (Is a directory); {remedy}"
    bundle = tmp_path / "ca.pem"
    bundle.write_text("hello")
    assert f"--ca {bundle}: holds no PEM certificate" in refusal(UsageError, tmp_path, ca=bundle)
    bundle.write_bytes(ca.read_bytes() + ca.with_name("key.pem").read_bytes())
    assert f"--ca {bundle}: holds a private key" in refusal(UsageError, tmp_path, ca=bundle)


@pytest.mark.parametrize(("limit", "shipped"), [(100, False), (100, True), (2000, False), (2000, True), (5000, True)])
def test_a_failure_in_between_leaves_nothing_behind(tmp_path: Path, ca: Path, limit: int, shipped: bool) -> None:
    """No file may grow beyond ``limit`` bytes: the key fails to be written, or the CA, or the configuration."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(ca.read_bytes() + b"#\n" * 1000)
    root = tmp_path / "root"
    root.mkdir()
    if shipped:
        (root / "conf").mkdir()
        (root / "conf/client.conf").write_text(render(SECTIONS) + "# mine\n" * 1000)
    before = tree(root)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(ConfigError, match=r"cannot be written \(File too large\)"):
            init(root, SECTIONS, URL, bundle)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tree(root) == before


def test_a_place_where_nothing_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written (Not a directory)" in refusal(ConfigError, tmp_path / "file" / "root")


def test_a_key_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/client.conf").write_text("[KegNet]\nprivateKey = keys/privkey.pem\n")
    assert "keys/privkey.pem: cannot be written (No such file" in refusal(ConfigError, tmp_path)
