"""KBSP v1, what a Kegboard on USB says over its serial line and what it is told: bytes to messages and back.

A frame is framed by its length, never by its line end, which may stand in a reading. All numbers are little-endian.

========== ======== ==========================================================
offset     bytes
========== ======== ==========================================================
0          8        ``KBSP v1:``
8          2        message id
10         2        N, 0 to 112
12         N        the fields: a tag (1 byte), a length (1 byte), the value
12 + N     2        CRC-16/KERMIT over all before it
14 + N     2        CR, LF
========== ======== ==========================================================

Security: `Decoder` takes bytes from anything that calls itself a serial port. It keeps less than a frame of them.
"""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from kegnet_client.core.wire.kegboard_messages import (
    MAX_PAYLOAD_BYTES,
    BadMessage,
    Message,
    UnknownMessage,
    format_message,
    parse_message,
)

PREFIX = b"KBSP v1:"
TRAILER = b"\r\n"
BAUD = 115_200

_HEADER_BYTES = len(PREFIX) + 4
_FRAME_BYTES = _HEADER_BYTES + 2 + len(TRAILER)
"""Of a frame without fields."""

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class FramingBroken:
    """What came is no frame. Nothing more is said of it before `FramingFixed`."""

    reason: str

    def __str__(self) -> str:
        return f"Packet framing broken ({self.reason}); reframing."


@dataclass(frozen=True, slots=True)
class FramingFixed:
    """The next thing is a whole frame again."""

    skipped_bytes: int

    def __str__(self) -> str:
        return f"Packet framing fixed, after {self.skipped_bytes} byte{'' if self.skipped_bytes == 1 else 's'}."


Event = Message | UnknownMessage | BadMessage | FramingBroken | FramingFixed
"""What a decoder tells of the bytes that it is fed."""


def crc16(data: bytes) -> int:
    """CRC-16/KERMIT of ``data``: 0x2189 of ``123456789``."""
    # binascii has the polynomial for bits that come the other way round.
    crc = binascii.crc_hqx(data.translate(_REVERSED), 0)
    return _REVERSED[crc >> 8] | _REVERSED[crc & 0xFF] << 8


def frame(message_id: int, payload: bytes) -> bytes:
    """The frame that carries ``payload``, of `MAX_PAYLOAD_BYTES` at most."""
    head = PREFIX + message_id.to_bytes(2, "little") + len(payload).to_bytes(2, "little") + payload
    return head + crc16(head).to_bytes(2, "little") + TRAILER


def encode(message: Message) -> bytes:
    """The frame that says ``message``; to be sent in one write, since a board reads no command in pieces.

    `ValueError` for a value that its field does not hold.
    """
    return frame(*format_message(message))


class Decoder:
    """Makes events of bytes that come in any pieces; ``wrong_frames`` counts those that fail their CRC or trailer."""

    def __init__(self) -> None:
        self.wrong_frames = 0
        self._buffer = bytearray()
        self._is_broken = False
        self._skipped_bytes = 0

    @property
    def is_within_frame(self) -> bool:
        """Whether bytes wait for more: see `give_up`."""
        return bool(self._buffer)

    def feed(self, data: bytes | bytearray) -> list[Event]:
        """What ``data``, after all before it, says."""
        self._buffer += data
        return list(self._decode())

    def give_up(self) -> list[Event]:
        """The line is silent: a frame that has begun does not come to its end, and may hide a whole one.

        Without this a length that lies would hold back the frame after it until the next one comes.
        """
        events: list[Event] = []
        while self._buffer:
            events += self._skip(1, "a frame without its end")
            events += self._decode()
        return events

    def _decode(self) -> Iterator[Event]:
        while self._buffer:
            if not self._buffer.startswith(PREFIX[: len(self._buffer)]):
                pairs = zip(self._buffer, PREFIX, strict=False)
                found, expected = next(pair for pair in pairs if pair[0] != pair[1])
                yield from self._skip(self._find_start(), f"found 0x{found:02x}, expected 0x{expected:02x}")
                continue
            if len(self._buffer) < _HEADER_BYTES:
                return
            length = int.from_bytes(self._buffer[10:12], "little")
            if length > MAX_PAYLOAD_BYTES:
                yield from self._skip(1, f"a length of {length}")
                continue
            size = length + _FRAME_BYTES
            if len(self._buffer) < size:
                return
            whole = bytes(self._buffer[:size])
            if (fault := _find_fault(whole)) is not None:
                self.wrong_frames += 1
                # What follows may have begun within it, if it was cut short.
                yield from self._skip(1, fault)
                continue
            del self._buffer[:size]
            if self._is_broken:
                yield FramingFixed(self._skipped_bytes)
                self._is_broken, self._skipped_bytes = False, 0
            yield parse_message(int.from_bytes(whole[8:10], "little"), whole[_HEADER_BYTES : _HEADER_BYTES + length])

    def _find_start(self) -> int:
        """Where in the buffer, after its first byte, a prefix stands or may have begun."""
        found = self._buffer.find(PREFIX, 1)
        if found >= 0:
            return found
        longest = min(len(PREFIX) - 1, len(self._buffer) - 1)
        sizes = (size for size in range(longest, 0, -1) if self._buffer.endswith(PREFIX[:size]))
        return len(self._buffer) - next(sizes, 0)

    def _skip(self, count: int, reason: str) -> list[Event]:
        del self._buffer[:count]
        self._skipped_bytes += count
        if self._is_broken:
            return []
        self._is_broken = True
        return [FramingBroken(reason)]


def _find_fault(whole: bytes) -> str | None:
    """What is wrong with a frame of the right size; None if nothing is."""
    if not whole.endswith(TRAILER):
        return "a frame that does not end where its length says"
    said = int.from_bytes(whole[-4:-2], "little")
    found = crc16(whole[:-4])
    return None if found == said else f"a CRC of 0x{found:04x} where the frame says 0x{said:04x}"
