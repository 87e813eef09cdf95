"""Frames of a Kegboard: whole ones are told, whatever comes before, between and in pieces; nothing else is."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.wire.kegboard import (
    PREFIX,
    Decoder,
    Event,
    FramingBroken,
    FramingFixed,
    crc16,
    encode,
    frame,
)
from kegnet_client.core.wire.kegboard_messages import (
    AuthTokenMessage,
    BadMessage,
    ConfigurationMessage,
    HelloMessage,
    Message,
    MeterStatusMessage,
    OnewirePresenceMessage,
    OutputStatusMessage,
    PingCommand,
    SetOutputCommand,
    SetSerialNumberCommand,
    TemperatureReadingMessage,
    UnknownMessage,
)

PINT = MeterStatusMessage("flow0", 2200)
LINE_END_WITHIN = MeterStatusMessage("flow0", 2573)
"""2573 is 0d 0a 00 00: the original took that for the frame's end."""
SENSOR = "thermo-7c0000009b596628"
COLD = TemperatureReadingMessage(SENSOR, 4_000_000)
IBUTTON = bytes.fromhex("01a2b3c4d5e6f73d")

DOCUMENTED = {
    "4b425350 2076313a 0100 0400 010203 00 2e54 0d0a": HelloMessage(3),
    "4b425350 2076313a 1000 0d00 0105666c6f7731 020404000000 950a 0d0a": MeterStatusMessage("flow1", 4),
    "4b425350 2076313a 1000 0d00 0105666c6f7730 020498080000 792a 0d0a": PINT,
    "4b425350 2076313a 1100 1f00 0117 746865726d6f2d37633030303030303962353936363238 0204780b5d01 1803 0d0a": (
        TemperatureReadingMessage(SENSOR, 22_875_000)
    ),
    "4b425350 2076313a 1100 1f00 0117 746865726d6f2d37633030303030303962353936363238 0204a01ce9ff d754 0d0a": (
        TemperatureReadingMessage(SENSOR, -1_500_000)
    ),
    "4b425350 2076313a 1200 0c00 010672656c617930 02020100 a403 0d0a": OutputStatusMessage("relay0", True),
    "4b425350 2076313a 1400 1600 01076f6e6577697265 020801a2b3c4d5e6f73d 030101 1486 0d0a": (
        AuthTokenMessage("onewire", IBUTTON, 1)
    ),
    "4b425350 2076313a 1400 1600 01076f6e6577697265 020801a2b3c4d5e6f73d 030100 9d97 0d0a": (
        AuthTokenMessage("onewire", IBUTTON, 0)
    ),
    "4b425350 2076313a 1400 1500 0109636f72652e72666964 02057af084010f 030101 9e71 0d0a": (
        AuthTokenMessage("core.rfid", bytes.fromhex("7af084010f"), 1)
    ),
    "4b425350 2076313a 8100 0000 d4c7 0d0a": PingCommand(),
    "4b425350 2076313a 8400 0700 010100 02020100 c86c 0d0a": SetOutputCommand(0, True),
    "4b425350 2076313a 8400 0700 010100 02020000 1075 0d0a": SetOutputCommand(0, False),
    "4b425350 2076313a 8500 1800 0116 4b422d303030302d303030302d303132336162636400 b4fe 0d0a": (
        SetSerialNumberCommand("KB-0000-0000-0123abcd")
    ),
}
"""Both ways."""
ONLY_READ = {
    "4b425350 2076313a 1000 0e00 0106666c6f773100 020404000000 550a 0d0a": MeterStatusMessage("flow1", 4),
    "4b425350 2076313a 8400 0600 010100 020101 481d 0d0a": SetOutputCommand(0, True),
}
"""Written by others, with a NUL after a name or one byte for an output."""

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
uint32s = st.integers(0, 2**32 - 1)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        HelloMessage,
        st.integers(0, 2**16 - 1),
        st.none() | st.integers(0, 2**16 - 1),
        st.none() | names,
        st.none() | uint32s,
        st.none() | uint32s,
    ),
    st.builds(ConfigurationMessage, st.none() | names, st.none() | st.integers(0, 2**16 - 1)),
    st.builds(MeterStatusMessage, names, uint32s),
    st.builds(TemperatureReadingMessage, names, st.integers(-(2**31), 2**31 - 1)),
    st.builds(OutputStatusMessage, names, st.booleans()),
    st.builds(OnewirePresenceMessage, st.integers(0, 2**64 - 1), st.none() | st.integers(0, 255)),
    st.builds(AuthTokenMessage, names, st.binary(max_size=20), st.integers(0, 255)),
    st.just(PingCommand()),
    st.builds(SetOutputCommand, st.integers(0, 255), st.booleans()),
    st.builds(SetSerialNumberCommand, st.text("KB-0123456789abcdef", min_size=1, max_size=28)),
)


def decoded(data: bytes) -> list[Event]:
    return Decoder().feed(data)


def only_messages(events: list[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, FramingBroken | FramingFixed)]


@pytest.mark.parametrize(
    ("data", "crc"), [(b"123456789", 0x2189), (PREFIX, 0xE3AF), (b"", 0), (PREFIX + b"\xaf\xe3", 0)]
)
def test_the_check_sum_is_that_of_the_reference(data: bytes, crc: int) -> None:
    assert crc16(data) == crc


@pytest.mark.parametrize(("line", "message"), {**DOCUMENTED, **ONLY_READ}.items())
def test_the_documented_frames_are_read(line: str, message: Message) -> None:
    assert decoded(bytes.fromhex(line)) == [message]


@pytest.mark.parametrize(("line", "message"), DOCUMENTED.items())
def test_they_are_written_to_the_byte(line: str, message: Message) -> None:
    assert encode(message) == bytes.fromhex(line)


def test_the_hello_of_version_18_has_its_length_and_check_sum() -> None:
    payload = b"\x01\x02\x12\x00" + b"\x03\x1e" + b"KB-0000-0000-0123abcd".ljust(30, b"\0")
    payload += b"\x04\x04" + (123_456).to_bytes(4, "little") + b"\x05\x04" + bytes(4)
    whole = frame(0x01, payload)
    assert (len(whole), whole[-4:-2]) == (64, b"\x44\x81")
    assert decoded(whole) == [HelloMessage(18, None, "KB-0000-0000-0123abcd", 123_456, 0)]


@given(st.lists(messages, max_size=5), st.lists(st.integers(1, 40), min_size=1))
def test_what_is_encoded_is_decoded_in_whatever_pieces_it_comes(said: list[Message], sizes: list[int]) -> None:
    data, decoder, heard = b"".join(map(encode, said)), Decoder(), []
    turn = 0
    while data:
        size = sizes[turn % len(sizes)]
        heard += decoder.feed(data[:size])
        data, turn = data[size:], turn + 1
    assert heard == said
    assert not decoder.is_within_frame


def test_a_line_end_in_a_reading_does_not_end_its_frame() -> None:
    assert decoded(encode(LINE_END_WITHIN) + encode(PINT)) == [LINE_END_WITHIN, PINT]


@pytest.mark.parametrize("size", [110, 111, 112])
def test_the_largest_frames_are_taken(size: int) -> None:
    payload = encode(PINT)[12:25]
    whole = frame(0x10, payload + bytes((99, size - len(payload) - 2)) + bytes(size - len(payload) - 2))
    assert (len(whole), decoded(whole)) == (size + 16, [PINT])


def test_an_unknown_tag_is_skipped_and_the_order_is_free() -> None:
    reading, name, unknown = b"\x02\x04\x98\x08\x00\x00", b"\x01\x05flow0", b"\x63\x03abc"
    assert decoded(frame(0x10, unknown + reading + unknown + name + unknown)) == [PINT]


def test_an_unknown_message_is_told_with_its_number() -> None:
    assert decoded(frame(0x77, b"\xff\xff\xff")) == [UnknownMessage(0x77)]


@pytest.mark.parametrize(
    ("message_id", "payload", "reason"),
    [
        (0x10, b"\x01\x05flow0", "meter_reading is missing"),
        (0x10, b"\x02\x04\x98\x08\x00\x00", "meter_name is missing"),
        (0x10, b"\x01\x02\x00\x00\x02\x04\x98\x08\x00\x00", "meter_name is missing"),
        (0x10, b"\x01\x05flow0\x02\x02\x98\x08", "meter_reading has 2 bytes"),
        (0x10, b"\x01\x05flow0\x02\xff\x98\x08\x00\x00", "a field is longer than its message"),
        (0x10, b"\x01\x05flow0\x02", "a field is longer than its message"),
        (0x12, b"\x01\x06relay0\x02\x03\x00\x00\x01", "output_reading has 3 bytes"),
    ],
)
def test_a_whole_frame_with_fields_that_lie_is_bad_and_the_framing_is_not(
    message_id: int, payload: bytes, reason: str
) -> None:
    assert decoded(frame(message_id, payload) + encode(PINT)) == [BadMessage(message_id, reason), PINT]


@pytest.mark.parametrize("noise", [b"\xff" * 40, b"K", b"KBSP v1", b"KKBSP v1", b"\r\n", PREFIX, encode(PINT)[5:]])
def test_noise_is_told_once_when_it_begins_and_once_when_it_is_over(noise: bytes) -> None:
    events = decoded(noise + encode(PINT) + encode(LINE_END_WITHIN))
    assert only_messages(events) == [PINT, LINE_END_WITHIN]
    broken, fixed = events[:2]
    assert isinstance(broken, FramingBroken)
    assert fixed == FramingFixed(len(noise))


def test_the_lines_are_those_of_the_original() -> None:
    (broken,) = decoded(b"KBSP v2")
    assert str(broken) == "Packet framing broken (found 0x32, expected 0x31); reframing."
    broken, fixed, _ = decoded(b"x" + encode(PINT))
    assert str(broken) == "Packet framing broken (found 0x78, expected 0x4b); reframing."
    assert str(fixed) == "Packet framing fixed, after 1 byte."


@pytest.mark.parametrize("place", range(len(encode(PINT))))
def test_a_frame_with_one_wrong_byte_is_none_and_costs_only_itself(place: int) -> None:
    wrong = bytearray(encode(PINT))
    wrong[place] ^= 0x20
    decoder = Decoder()
    # Enough of them for a length that now says more than there is.
    assert set(only_messages(decoder.feed(wrong + encode(LINE_END_WITHIN) * 5))) == {LINE_END_WITHIN}


@given(st.lists(messages, min_size=1, max_size=4), st.binary(max_size=300), st.data())
def test_a_frame_cut_short_costs_none_after_it(said: list[Message], noise: bytes, data: st.DataObject) -> None:
    cut = encode(said[0])
    cut = cut[: data.draw(st.integers(0, len(cut) - 1))]
    decoder = Decoder()
    events = decoder.feed(noise + cut + b"".join(map(encode, said)))
    events += decoder.give_up()
    assert only_messages(events)[-len(said) :] == said


def test_a_length_that_lies_holds_back_the_next_frame_only_until_the_line_is_silent() -> None:
    decoder = Decoder()
    assert decoder.feed(PREFIX + b"\x10\x00\x70\x00" + encode(PINT)) == []
    assert decoder.is_within_frame
    assert only_messages(decoder.give_up()) == [PINT]
    assert not decoder.is_within_frame


@given(st.binary(max_size=2000))
def test_any_bytes_are_taken_and_few_of_them_kept(data: bytes) -> None:
    decoder = Decoder()
    decoder.feed(data)
    assert decoder.is_within_frame <= (len(data) > 0)
    decoder.give_up()
    assert decoder.feed(encode(PINT))[-1] == PINT


def test_a_check_sum_that_fails_is_counted() -> None:
    decoder = Decoder()
    decoder.feed(encode(PINT)[:-4] + b"\0\0\r\n")
    assert decoder.wrong_frames == 1


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (SetOutputCommand(256, True), "output_id cannot be 256"),
        (MeterStatusMessage("flow0", -1), "meter_reading cannot be -1"),
        (MeterStatusMessage("fl\u00f6w", 1), "meter_name cannot be 'fl\\xf6w'"),
        (MeterStatusMessage("x" * 300, 1), "meter_name cannot be 'xxx"),
        (MeterStatusMessage("x" * 120, 1), "at most 112 bytes"),
        (SetSerialNumberCommand("x" * 29), "1 to 28 characters"),
        (SetSerialNumberCommand(""), "1 to 28 characters"),
    ],
)
def test_what_no_frame_can_say_is_refused(message: Message, what: str) -> None:
    with pytest.raises(ValueError, match=re.escape(what)):
        encode(message)


@pytest.mark.slow
def test_a_million_mutated_bytes_crash_nothing_and_are_always_reframed() -> None:
    dice = random.Random(1)  # noqa: S311  # no secret
    kept = wrong = 0
    decoder = Decoder()
    while kept + wrong < 1_000_000:
        stream = bytearray(encode(PINT) + encode(LINE_END_WITHIN) + encode(COLD))
        for _ in range(dice.randrange(1, 8)):
            place = dice.randrange(len(stream))
            match dice.randrange(3):
                case 0:
                    stream[place] = dice.randrange(256)
                case 1:
                    del stream[place]
                case _:
                    stream[place:place] = dice.randbytes(dice.randrange(1, 20))
        wrong += len(stream)
        for event in only_messages(decoder.feed(stream)):
            assert not isinstance(event, BadMessage)
        # The line is silent for a moment, and then there is a frame as it should be.
        decoder.give_up()
        assert decoder.feed(encode(PINT))[-1] == PINT
        kept += len(encode(PINT))
    assert decoder.wrong_frames > 1000
