"""client.conf to Config: what it says, and one clear line for everything that it should not say."""

import os
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.edit import fill, render
from kegnet_client.config.parse import given as given_fields
from kegnet_client.config.parse import load, parse
from kegnet_client.config.settings import AnySection, Config, to_whole
from kegnet_client.core.errors import ConfigError
from kegnet_client.core.wire.base_url import Version
from kegnet_client.net.tls import SYSTEM_CA_BUNDLE
from kegnet_client.producers.thermometer_section import THERMOMETER
from kegnet_client.sinks.kegnet_section import KEGNET, KegNetSettings
from kegnet_client.spool.section import SPOOL

from ..support.configuration import client_conf

REPOSITORY = Path(__file__).parents[2]
ROOT = Path("/opt/keg")
FILE = ROOT / "conf/client.conf"
UUID = "6F1C0e8a-0d5e-4d43-9b0e-5f2d0c2b7a11"
REQUIRED = f"uuid = {UUID}\nserviceBaseURL = https://hub.example/rest/v2\n"
MINIMAL = f"[KegNet]\n{REQUIRED}"
ALWAYS_THERE = [section for section in SECTIONS if not section.example_name]


def read(text: str) -> Config:
    return parse(text, SECTIONS, ROOT, FILE)


def kegnet(text: str) -> KegNetSettings:
    return read(text).section(KEGNET)


def faults_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.exit_code == 78
    return caught.value.faults


def test_two_settings_suffice_and_the_rest_has_defaults() -> None:
    config = read(MINIMAL)
    settings = config.section(KEGNET)
    assert (settings.base.url, settings.base.version) == ("https://hub.example/rest/v2", Version.V2)
    assert settings.private_key == ROOT / "conf/privkey.pem"
    assert settings.ca_bundle == ROOT / "conf/ca.crt"
    assert (settings.ping_interval_s, settings.deadline_s) == (600, 10)
    assert config.section(SPOOL).directory == ROOT / "spool"
    assert config.section(THERMOMETER).directory == Path("/sys/bus/w1/devices")
    assert config.section(THERMOMETER).sensor is None
    assert (config.root, config.file) == (ROOT, FILE)


def test_the_uuid_keeps_its_spelling() -> None:
    assert kegnet(MINIMAL).uuid == UUID


def test_every_setting_can_be_set_in_any_case_of_its_name() -> None:
    text = (
        f"[KegNet]\nUUID = {UUID}\nservicebaseurl: http://127.0.0.1:8080/rest/v1\nPRIVATEKEY = /keys/k.pem\n"
        "caBundle = ../ca.pem\npingInterval = 86400\ndeadline = 30\n"
        "[Spool]\ndirectory = /var/spool/keg\n"
        "[Thermometer]\ndirectory = w1\nsensor = 28-0316a2795c5b\n"
    )
    config = read(text)
    settings = config.section(KEGNET)
    assert settings.private_key == Path("/keys/k.pem")
    assert settings.ca_bundle == ROOT / "../ca.pem"
    assert (settings.ping_interval_s, settings.deadline_s) == (86400, 30)
    assert config.section(SPOOL).directory == Path("/var/spool/keg")
    assert config.section(THERMOMETER).directory == ROOT / "w1"
    assert config.section(THERMOMETER).sensor == "28-0316a2795c5b"
    assert settings.base.version is Version.V1


def test_the_word_system_is_the_machines_own_store() -> None:
    assert kegnet(MINIMAL + "caBundle = system\n").ca_bundle == SYSTEM_CA_BUNDLE


def test_a_percent_sign_is_nothing_special() -> None:
    assert kegnet(MINIMAL + "privateKey = /keys/%(uuid)s%\n").private_key == Path("/keys/%(uuid)s%")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_a_sections_table_and_what_it_makes_name_the_same_fields(section: AnySection) -> None:
    made = section.make(**{setting.field: None for setting in section.settings})
    assert [setting.field for setting in section.settings] == [field.name for field in fields(made)]


def test_the_shipped_file_is_what_the_table_renders() -> None:
    assert (REPOSITORY / "conf/client.conf").read_text() == render(SECTIONS)


def test_the_shipped_file_comments_every_setting() -> None:
    lines = render(SECTIONS).splitlines()
    assert all(line == "" or line[0] in "#[" for line in lines)
    for setting in (one for section in SECTIONS for one in section.settings):
        assert setting.shipped_line in lines


def test_every_default_that_the_shipped_file_shows_is_the_default() -> None:
    required = client_conf(uuid=UUID, base="https://hub.example/rest/v2")
    shown = required
    for section in ALWAYS_THERE:
        shown = fill(shown, section, {one.field: one.default for one in section.settings if one.default is not None})
    assert shown != required
    assert read(shown) == read(required)


def test_the_examples_in_the_shipped_file_are_valid() -> None:
    text = render(SECTIONS)
    for section in ALWAYS_THERE:
        text = fill(text, section, {setting.field: setting.example for setting in section.settings if setting.example})
    assert read(text).section(THERMOMETER).sensor == "28-0316a2795c5b"


def test_the_shipped_file_asks_for_the_required_settings_that_it_comments() -> None:
    faults = faults_of(render(SECTIONS))
    assert [fault.split(": ")[1] for fault in faults] == ["[KegNet] uuid", "[KegNet] serviceBaseURL"]
    assert all("still commented out" in fault and "kegnet-client init --url URL" in fault for fault in faults)


def test_an_empty_file_asks_for_the_required_settings() -> None:
    uuid, base = faults_of("")
    assert f"{FILE}: [KegNet] uuid: is missing" in uuid
    assert "[KegNet] serviceBaseURL: is missing" in base
    assert "kegnet-client init" in base


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pingInterval = 10s", "[KegNet] pingInterval: '10s': is not a number of seconds; write a whole number from 1"),
        ("pingInterval = 1_0", "[KegNet] pingInterval: '1_0': is not a number"),
        ("pingInterval = ٣", "[KegNet] pingInterval: '٣': is not a number"),
        ("pingInterval = -1", "[KegNet] pingInterval: '-1': is not a number"),
        ("pingInterval = 0", "[KegNet] pingInterval: '0': is not a number"),
        ("pingInterval = 86401", "from 1 to 86400"),
        ("pingInterval = 1e3", "[KegNet] pingInterval: '1e3'"),
        ("pingInterval = 600 # ten minutes", "[KegNet] pingInterval: '600 # ten minutes'"),
        (f"pingInterval = {'9' * 5000}", "[KegNet] pingInterval: "),
        ("deadline = 31", "[KegNet] deadline: '31': is not a number of seconds; write a whole number from 1 to 30"),
        ("deadline = 0.5", "[KegNet] deadline: '0.5'"),
        ("privateKey =", "[KegNet] privateKey: '': is empty; write a value, or put a # before the line"),
        ("privateKey = a\x00b", "[KegNet] privateKey: 'a\\x00b': holds a character that cannot be seen"),
        ("privateKey = a\n b", "[KegNet] privateKey: 'a\\nb': goes on in the next line"),
        ("pingIntervall = 5", "[KegNet] pingintervall: unknown setting; did you mean pingInterval?"),
        ("sensor = 28-0316a2795c5b", "[KegNet] sensor: unknown setting; it belongs under [Thermometer]"),
        ("colour = red", "[KegNet] colour: unknown setting; delete it, known are"),
        ("a\x1b[31m = red", "[KegNet] a\\x1b[31m: unknown setting"),
        ("just words", "line 4: 'just words' is no setting; write NAME = VALUE, or put a # before it"),
        ("deadline = 5\nDeadline = 6", "[KegNet] deadline: stands there twice, again in line 5; delete one"),
        ("[Spool]\ndirectory = a\n[Spool]", "[Spool]: begins twice, again in line 6; put its settings under one"),
        ("[spool]\ndirectory = a", "[spool]: unknown section; did you mean [Spool]?"),
        ("[Barrel]\nport = a", "[Barrel]: unknown section; "),
        ("[DEFAULT]\ndeadline = 5", "[DEFAULT]: unknown section; "),
        ("[Thermometer]\nsensor = 28-0316A2795C5B", "[Thermometer] sensor: '28-0316A2795C5B': is not a 1-Wire id"),
        ("[Spool]\ndirectory =", "[Spool] directory: '': is empty"),
    ],
)
def test_a_fault_names_file_section_setting_and_remedy(line: str, expected: str) -> None:
    (fault,) = faults_of(f"{MINIMAL}{line}\n")
    assert fault.startswith(f"{FILE}: ")
    assert expected in fault
    assert fault.isprintable()
    assert len(fault) < 400


@pytest.mark.parametrize("uuid", ["6f1c0e8a", "{" + UUID + "}", "6f1c0e8a0d5e4d439b0e5f2d0c2b7a11", UUID + "0"])
def test_a_bad_uuid_is_refused(uuid: str) -> None:
    (fault,) = faults_of(MINIMAL.replace(UUID, uuid))
    assert "[KegNet] uuid: " in fault
    assert "is not a uuid" in fault


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://hub.example/rest/v2", "http is not encrypted"),
        ("hub.example/rest/v2", "write it as https://"),
        ("https://hub.example/", "must end in /rest/v1, /rest/v2 or /rest/v3"),
        ("https://[::1/rest/v2", "its host cannot be read"),
    ],
)
def test_a_bad_url_is_refused(url: str, expected: str) -> None:
    (fault,) = faults_of(MINIMAL.replace("https://hub.example/rest/v2", url))
    assert f"[KegNet] serviceBaseURL: {url!r}: " in fault
    assert expected in fault


def test_plain_http_is_taken_for_this_machine() -> None:
    assert kegnet(MINIMAL.replace("https://hub.example", "http://[::1]:8080")).base.port == 8080


def test_all_faults_are_told_at_once() -> None:
    text = "[KegNet]\nuuid = x\nuuid = y\nwords\ndeadline = 0\n[Spol]\n[Thermometer]\nsensors = 1\nsensor = 1\n"
    faults = "\n".join(faults_of(text))
    for expected in (
        "twice",
        "'y': is not a uuid",
        "line 4",
        "deadline",
        "[Spol]",
        "sensors",
        "sensor: '1'",
        "BaseURL",
    ):
        assert expected in faults


def test_a_setting_before_any_section_says_where_to_put_it() -> None:
    (fault,) = faults_of(f"# settings\nuuid = {UUID}\n{MINIMAL}")
    assert fault.startswith(f"{FILE}: line 2: 'uuid = {UUID}' stands before any section")
    assert "[KegNet]" in fault


def test_an_absent_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"client\.conf: does not exist; run `kegnet-client enroll .*`kegnet-client init .*, or .*--con",
    ):
        load(tmp_path, None, SECTIONS)


def test_a_file_is_read_from_its_root(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/client.conf").write_text(MINIMAL)
    config = load(tmp_path, None, SECTIONS)
    assert (config.root, config.file) == (tmp_path, tmp_path / "conf/client.conf")
    assert config.section(SPOOL).directory == tmp_path / "spool"


def test_another_file_keeps_the_root_and_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.conf").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    config = load(Path("root"), Path("other.conf"), SECTIONS)
    assert (config.file, config.section(SPOOL).directory) == (tmp_path / "other.conf", tmp_path / "root/spool")


def test_windows_line_ends_and_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "client.conf"
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load(tmp_path, file, SECTIONS).section(KEGNET).uuid == UUID


def test_a_directory_is_not_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path, tmp_path, SECTIONS)


def test_text_in_another_encoding_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "client.conf"
    file.write_bytes(b"[KegNet]\n# K\xfchlschrank\n")
    with pytest.raises(ConfigError, match=r"client\.conf: line 2: is not UTF-8"):
        load(tmp_path, file, SECTIONS)


def test_a_file_without_end_is_not_read_to_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a regular file"):
        load(tmp_path, Path("/dev/zero"), SECTIONS)
    with (tmp_path / "client.conf").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ConfigError, match="larger than 64 KiB"):
        load(tmp_path, tmp_path / "client.conf", SECTIONS)


def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "client.conf"
    file.write_text(MINIMAL)
    file.chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may read all, so it becomes nobody
    try:
        with pytest.raises(ConfigError, match=r"client\.conf: may not be read by this user"):
            load(tmp_path, file, SECTIONS)
    finally:
        os.seteuid(user)


def test_filling_in_replaces_the_shipped_line_and_nothing_else() -> None:
    before, after = render(SECTIONS).splitlines(), fill(render(SECTIONS), KEGNET, {"uuid": UUID}).splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [("#uuid = 00000000-0000-4000-8000-000000000000", f"uuid = {UUID}")]


def test_filling_in_keeps_a_line_that_was_changed() -> None:
    text = "# mine\r\n[KegNet]\r\n# uuid = old\r\ndeadline = 5\r\n[Spool]\r\n"
    assert fill(text, KEGNET, {"uuid": UUID}) == text.replace("[KegNet]\r\n", f"[KegNet]\r\nuuid = {UUID}\r\n")


def test_filling_in_makes_the_section_where_there_is_none() -> None:
    text = fill("# mine", KEGNET, {"uuid": UUID, "base": "https://hub.example/rest/v2"})
    assert text.startswith("# mine\n")
    assert kegnet(text).uuid == UUID


NAMES = [setting.name for section in SECTIONS for setting in section.settings]
LINES = st.one_of(
    st.sampled_from(["[KegNet]", "[Spool]", "[DEFAULT]", "[]", "[", *REQUIRED.splitlines()]),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", " ", "#", "\t", "\ufeff"]),
        st.sampled_from([*NAMES, "UUID", "", "x"]),
        st.sampled_from(["=", ":", " = ", ""]),
        st.text(max_size=12),
    ),
    st.text(max_size=40),
)


def attempt(text: str) -> Config | tuple[str, ...]:
    try:
        return read(text)
    except ConfigError as error:
        return error.faults


@settings(max_examples=4 * settings().max_examples)
@given(st.one_of(st.text(), st.lists(LINES).map("\n".join)))
def test_no_text_whatever_gives_a_traceback(text: str) -> None:
    match attempt(text):
        case Config() as config:
            assert config.section(KEGNET).uuid in text
        case faults:
            assert faults
            assert all(fault.isprintable() and fault.startswith(f"{FILE}: ") for fault in faults)


@settings(max_examples=2 * settings().max_examples)
@given(st.binary())
def test_no_file_whatever_gives_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.conf"
    file.write_bytes(data)
    with pytest.raises(ConfigError):
        load(ROOT, file, SECTIONS)


@settings(max_examples=2 * settings().max_examples)
@given(st.lists(LINES).map("\n".join))
def test_filling_in_sets_the_value_or_the_text_has_another_fault(text: str) -> None:
    if not given_fields(text, KEGNET) & {"uuid", "base"}:
        match attempt(fill(text, KEGNET, {"uuid": UUID, "base": "https://hub.example/rest/v2"})):
            case Config() as config:
                assert config.section(KEGNET).uuid == UUID
            case faults:
                assert not isinstance(attempt(f"{text}\n{MINIMAL}"), Config), faults


@pytest.mark.parametrize("text", ["256", "-1", "1.0", "", "٣", "000000000099999", "9" * 5000])
def test_a_whole_number_out_of_its_bounds_is_refused_however_it_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="write a whole number from 0 to 255"):
        to_whole(0, 255)(text, ROOT)


def test_a_whole_number_within_its_bounds_is_taken() -> None:
    assert [to_whole(0, 255)(text, ROOT) for text in ("0", "255", "007")] == [0, 255, 7]
