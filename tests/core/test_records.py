"""The spool's grammar: what is a record, what is not, and that each goes there and back."""

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kegnet_client.core.errors import RecordError
from kegnet_client.core.records import (
    END_OF_SECONDS,
    FIRST_MS,
    FIRST_SECOND,
    LAST_MS,
    MAX_ELAPSED_MS,
    MAX_FILE_BYTES,
    MAX_MILLIDEGREES,
    MAX_PIN,
    MAX_PULSES,
    MIN_MILLIDEGREES,
    Heartbeat,
    Pour,
    Reading,
    Record,
    format_celsius,
    format_record,
    is_record_name,
    is_sensor,
    make_pour,
    make_reading,
    parse,
    parse_integer,
    parse_natural,
    spool_suffix,
)

POUR = Pour(0, 586, 8123, 1_386_531_209_417)
SENSOR = "28-0316a2795c5b"
READING = Reading(SENSOR, 3875, 1_386_531_300_000)

pours = st.builds(
    make_pour,
    st.integers(0, MAX_PIN),
    st.integers(1, MAX_PULSES),
    st.integers(0, MAX_ELAPSED_MS),
    st.integers(FIRST_MS, LAST_MS),
)
readings = st.builds(
    make_reading,
    st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{12}", fullmatch=True),
    st.integers(MIN_MILLIDEGREES, MAX_MILLIDEGREES).filter(lambda value: value != -1),
    st.integers(FIRST_MS, LAST_MS),
)


@pytest.mark.parametrize(
    ("name", "data", "record"),
    [
        ("01386531209417.pour", b"0,586,8123,1386531209417", POUR),
        ("a.pour", b"0,586,8123,1386531209417\n", POUR),
        ("a.pour", b"255,2147483647,86400000,4102444799999\n", Pour(255, 2**31 - 1, 86_400_000, LAST_MS)),
        ("a.pour", b"0,1,0,978307200000\n", Pour(0, 1, 0, FIRST_MS)),
        ("a.reading", b"28-0316a2795c5b,3875,1386531300000\n", READING),
        ("a.reading", b"28-0316a2795c5b,-500,1386531300000", Reading(SENSOR, -500, 1_386_531_300_000)),
        ("a.reading", b"28-0316a2795c5b,0,1386531300000\n", Reading(SENSOR, 0, 1_386_531_300_000)),
    ],
)
def test_a_well_formed_line_is_its_record(name: str, data: bytes, record: Record) -> None:
    assert parse(name, data) == record


@pytest.mark.parametrize(
    ("data", "record"),
    [
        (b"0,586,8,1372686435", Pour(0, 586, 8000, 1_372_686_435_000)),
        (b"0,1,0,978307200", Pour(0, 1, 0, FIRST_MS)),
        (b"0,86400,86400,4102444799", Pour(0, 86_400, MAX_ELAPSED_MS, (END_OF_SECONDS - 1) * 1000)),
    ],
)
def test_an_old_producer_s_seconds_become_milliseconds(data: bytes, record: Pour) -> None:
    assert parse("01372686435.pour", data) == record


@pytest.mark.parametrize("started", [0, 1, 42, FIRST_SECOND - 1, END_OF_SECONDS, FIRST_MS - 1])
def test_a_time_from_before_the_clock_was_set_is_rejected_and_says_so(started: int) -> None:
    with pytest.raises(RecordError, match="the line was torn or the clock was not set"):
        parse("a.pour", f"0,586,8,{started}".encode())
    with pytest.raises(RecordError, match="the line was torn or the clock was not set"):
        parse("a.reading", f"{SENSOR},3875,{started}".encode())


@pytest.mark.parametrize("started", [FIRST_SECOND, 1_386_531_209, END_OF_SECONDS - 1])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_time_in_seconds_beside_a_pour_in_milliseconds_is_rejected_and_says_so(started: int, end: str) -> None:
    """A line torn after 10 of 13 digits, or a clock in milliseconds that stands 11 to 47 days after 1970."""
    with pytest.raises(RecordError, match="the line was torn or the clock was not set"):
        parse("a.pour", f"0,586,587,{started}{end}".encode())
    assert parse("a.pour", f"0,586,586,{started}{end}".encode()) == Pour(0, 586, 586_000, started * 1000)


def test_of_thousands_of_pours_none_that_is_torn_at_any_byte_is_another_and_every_whole_one_is_taken() -> None:
    chance = random.Random(20130708)  # noqa: S311 (not for secrets)

    def parse_or_none(line: bytes) -> Record | None:
        try:
            return parse("a.pour", line)
        except RecordError:
            return None

    for _ in range(200 * settings().max_examples):  # twenty thousand; make check takes fewer
        elapsed_ms = int(10 ** chance.uniform(2.5, 6))  # a third of a second to a quarter of an hour
        pulses = max(1, int(elapsed_ms / 1000 * chance.uniform(20, 190)))
        pour = Pour(chance.randrange(MAX_PIN + 1), pulses, elapsed_ms, chance.randrange(1_356_998_400_000, LAST_MS))
        line = format_record(pour)
        assert parse("a.pour", line) == parse("a.pour", line[:-1]) == pour
        assert not any(parse_or_none(line[:cut]) for cut in range(len(line) - 1)), line
        seconds = pour.elapsed_ms // 1000, pour.started_ms // 1000
        old = b"%d,%d,%d,%d" % (pour.pin, pulses, *seconds)
        assert parse("a.pour", old) == Pour(pour.pin, pulses, seconds[0] * 1000, seconds[1] * 1000)
        assert not any(parse_or_none(old[:cut]) for cut in range(len(old))), old
        unset = b"%d,%d,%d,%d" % (pour.pin, pulses, elapsed_ms, chance.randrange(FIRST_MS))
        assert parse_or_none(unset) is None, unset


@pytest.mark.parametrize("sent_ms", [FIRST_SECOND, END_OF_SECONDS - 1])
def test_a_reading_s_time_is_never_taken_for_seconds(sent_ms: int) -> None:
    with pytest.raises(RecordError, match="taken is"):
        parse("a.reading", f"{SENSOR},3875,{sent_ms}".encode())


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty; a power cut"),
        (b"\0" * 25, "NUL bytes; a power cut"),
        (b"0,586,8123,1386531209417\0", "NUL"),
        (b"\n", "4 fields"),
        (b"0,586,8123", "4 fields pin,pulses,elapsed,started, found 3"),
        (b"0,586,8123,1386531209417,", "found 5"),
        (b"0,586,8123,1386531209417\n\n", "one line"),
        (b"0,586,8123,1386531209417\r\n", "one line"),
        (b"0,586,8123,1386531209417\n1,586,8123,1386531209417\n", "one line"),
        (b"256,586,8123,1386531209417", "pin is 256, expected 0 to 255"),
        (b"0,0,8123,1386531209417", "pulses is 0, expected 1 to 2147483647"),
        (b"0,2147483648,8123,1386531209417", "pulses is 2147483648"),
        (b"0,586,86400001,1386531209417", "elapsed is 86400001, expected 0 to 86400000 ms"),
        (b"0,86401,86401,1372686435", "elapsed is 86401000"),
        (b"0,586,8123,4102444800000", "a time after 2099"),
        (b"0,586,8123,99999999999999999999", "started is"),
        (b"0,1_000,8123,1386531209417", "pulses is '1_000', expected digits only"),
        ("٣,586,8123,1386531209417".encode(), "pin is"),
        (b"007,586,8123,1386531209417", "pin is '007'"),
        (b"0,+5,8123,1386531209417", "pulses is"),
        (b"0,-5,8123,1386531209417", "pulses is"),
        (b"0, 586,8123,1386531209417", "pulses is"),
        (b" 0,586,8123,1386531209417", "pin is"),
        (b"0,586,8123,1386531209417 ", "started is"),
        (b"0,586,8123.0,1386531209417", "elapsed is"),
        (b"0,586,,1386531209417", "elapsed is ''"),
        (b"0x0,586,8123,1386531209417", "pin is"),
        (b"\xef\xbb\xbf0,586,8123,1386531209417", "pin is"),
        (b"\xff,586,8123,1386531209417", "pin is"),
        (b"1" * (MAX_FILE_BYTES + 1), "the file has 4097 bytes, a record fits in 4096"),
    ],
)
def test_a_malformed_pour_is_rejected_with_its_reason(data: bytes, what: str) -> None:
    with pytest.raises(RecordError) as raised:
        parse("a.pour", data)

    assert what in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"28-0316a2795c5b,3875", "3 fields sensor,millidegrees,taken, found 2"),
        (b"28-0316A2795C5B,3875,1386531300000", "expected a 1-Wire id such as 28-0316a2795c5b"),
        (b"../../../etc/passwd,3875,1386531300000", "1-Wire id"),
        (b"x" * 3000 + b",3875,1386531300000", "1-Wire id"),
        (b"28-0316a2795c5b,-55001,1386531300000", "millidegrees is -55001, expected -55000 to 125000"),
        (b"28-0316a2795c5b,125001,1386531300000", "millidegrees is 125001"),
        (b"28-0316a2795c5b,-1,1386531300000", "it means no reading"),
        (b"28-0316a2795c5b,-0,1386531300000", "expected digits only, such as 3875 or -500"),
        (b"28-0316a2795c5b,3.875,1386531300000", "millidegrees is '3.875'"),
        (b"28-0316a2795c5b,03875,1386531300000", "millidegrees is"),
        (b"28-0316a2795c5b,3875,-1386531300000", "taken is"),
        (b"28-0316a2795c5b,3875,4102444800000", "a time after 2099"),
    ],
)
def test_a_malformed_reading_is_rejected_with_its_reason(data: bytes, what: str) -> None:
    with pytest.raises(RecordError) as raised:
        parse("a.reading", data)

    assert what in str(raised.value).replace("on the wire it", "it")
    assert len(str(raised.value)) < 300


@given(st.one_of(pours, readings))
def test_a_record_comes_back_from_its_spool_file(record: Record) -> None:
    data = format_record(record)

    assert parse("a" + spool_suffix(record), data) == record
    assert data.isascii()
    assert data.count(b"\n") == 1
    assert data.endswith(b"\n")
    assert len(data) <= MAX_FILE_BYTES


@given(st.binary(max_size=200), st.sampled_from(["a.pour", "a.reading"]))
def test_whatever_the_bytes_it_is_a_record_or_a_record_error(data: bytes, name: str) -> None:
    try:
        record = parse(name, data)
    except RecordError:
        return
    assert parse(name, format_record(record)) == record


@given(
    st.text(alphabet="0123456789,-+_ .\n\r\t\0ab٣", max_size=60),
    st.sampled_from(["a.pour", "a.reading"]),
)
def test_what_is_taken_is_canonical(text: str, name: str) -> None:
    try:
        record = parse(name, text.encode())
    except RecordError:
        return
    if isinstance(record, Pour) and int(text.split(",")[3]) < END_OF_SECONDS:
        return
    assert format_record(record).decode().removesuffix("\n") == text.removesuffix("\n")


@given(st.one_of(pours, readings), st.sampled_from([b"", b"\n"]), st.data())
def test_no_beginning_of_a_record_s_line_is_another_record(record: Record, end: bytes, data: st.DataObject) -> None:
    if isinstance(record, Pour):
        assume(record.elapsed_ms > record.pulses)  # a meter gives fewer than a thousand pulses a second
    line = format_record(record)
    torn = line[: data.draw(st.integers(0, len(line) - 2))] + end
    with pytest.raises(RecordError):
        parse("a" + spool_suffix(record), torn)


@given(
    st.integers(0, MAX_PIN),
    st.integers(1, MAX_PULSES),
    st.integers(0, 86_400),
    st.integers(FIRST_SECOND, LAST_MS // 1000),
    st.data(),
)
def test_no_beginning_of_an_old_producer_s_line_is_another_record(
    pin: int, pulses: int, elapsed_s: int, started_s: int, data: st.DataObject
) -> None:
    line = f"{pin},{pulses},{min(elapsed_s, pulses)},{started_s}".encode()
    assert parse("a.pour", line)
    with pytest.raises(RecordError):
        parse("a.pour", line[: data.draw(st.integers(0, len(line) - 1))])


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("01386531209417.pour", True),
        ("a.reading", True),
        ("0.pour.reading", True),
        ("caf\udce9.pour", True),
        (".a.pour", False),
        (".pour", False),
        (".reading", False),
        ("a.pour.tmp", False),
        ("a.tmp", False),
        ("a.POUR", False),
        ("a.pour~", False),
        ("pour", False),
        ("README", False),
        ("", False),
    ],
)
def test_only_finished_files_with_our_suffixes_are_ours(name: str, ours: bool) -> None:
    assert is_record_name(name) is ours


@given(st.integers(0, 10**19 - 1))
def test_a_natural_number_has_one_spelling(value: int) -> None:
    assert parse_natural("field", str(value)) == value
    for other in (f"0{value}", f"+{value}", f"{value} ", f" {value}", f"{value}\n", f"{value}.0", f"-{value}"):
        with pytest.raises(RecordError, match="field is "):
            parse_natural("field", other)


@given(st.integers(-(10**19) + 1, 10**19 - 1))
def test_an_integer_has_one_spelling(value: int) -> None:
    assert parse_integer("field", str(value)) == value
    for other in (f"0{value}", f"+{value}", f"{value} ", f"{value}\n", f"--{value}"):
        with pytest.raises(RecordError, match="field is "):
            parse_integer("field", other)


@pytest.mark.parametrize("text", ["", "28", "28-", f"{SENSOR}0", f"{SENSOR}\n", SENSOR.upper(), "٢٨-0316a2795c5b"])
def test_what_the_kernel_would_not_write_is_no_sensor(text: str) -> None:
    assert is_sensor(SENSOR)
    assert not is_sensor(text)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (POUR, "pour of 586 pulses in 8.1 s on pin 0"),
        (READING, "reading of 3.9 °C from 28-0316a2795c5b"),
        (Heartbeat(1_386_531_300_000), "heartbeat"),
    ],
)
def test_a_record_tells_a_person_what_it_is(record: Record | Heartbeat, text: str) -> None:
    assert str(record) == text


@pytest.mark.parametrize(("millidegrees", "text"), [(3875, "3.9 °C"), (0, "0.0 °C"), (-500, "-0.5 °C")])
def test_a_temperature_is_shown_in_degrees(millidegrees: int, text: str) -> None:
    assert format_celsius(millidegrees) == text
