"""Inputs from seeds: each a seed with a few things done to it that programs are known to trip over."""

from collections.abc import Callable, Sequence
from random import Random

MAX_BYTES = 20_000
COMMON = (
    b"", b"\0", b"\n", b"\r\n", b"\r", b"\t", b" ", b",", b";", b"=", b"&", b"%", b"%00", b"%ff", b"+", b"-", b".",
    b"/", b":", b'"', b"'", b"\\", b"#", b"[", b"]", b"{", b"}", b"0", b"-0", b"00", b"1", b"-1", b"+1", b"1_0",
    b"1e9", b"0x1", b"NaN", b"Infinity", b"null", b"true", b"255", b"256", b"65536", b"2147483647", b"2147483648",
    b"4294967296", b"9223372036854775807", b"9223372036854775808", b"99999999999999999999", b"9" * 400, b"9" * 5000,
    b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\x80", "٣".encode(), "²".encode(), "\u2028".encode(),
    "\U0001f37a".encode(), b"\x1b[2J", b"\x7f", b"\\ud800", b"A" * 300, b"[" * 3000, b"{\"a\":" * 500,
)  # fmt: skip


class Mutator:
    """``tokens`` are what the format knows, besides what is bad for any."""

    def __init__(self, chance: Random, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> None:
        self._chance = chance
        self._seeds = seeds
        self._tokens = (*COMMON, *tokens, *tokens)
        self._ways: tuple[Callable[[bytearray], None], ...] = (
            self._flip,
            self._replace,
            self._insert,
            self._insert,
            self._delete,
            self._repeat,
            self._cut,
            self._splice,
            self._noise,
        )

    def draw(self) -> bytes:
        chance = self._chance
        data = bytearray(chance.choice(self._seeds))
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
            chance.choice(self._ways)(data)
        return bytes(data[:MAX_BYTES])

    def _at(self, data: bytearray) -> int:
        return int(self._chance.random() * (len(data) + 1))

    def _range(self, data: bytearray) -> slice:
        start = self._at(data)
        return slice(start, start + int(self._chance.random() * 12))

    def _flip(self, data: bytearray) -> None:
        if data:
            data[int(self._chance.random() * len(data))] ^= 1 << int(self._chance.random() * 8)

    def _replace(self, data: bytearray) -> None:
        data[self._range(data)] = self._chance.choice(self._tokens)

    def _insert(self, data: bytearray) -> None:
        at = self._at(data)
        data[at:at] = self._chance.choice(self._tokens)

    def _delete(self, data: bytearray) -> None:
        del data[self._range(data)]

    def _repeat(self, data: bytearray) -> None:
        piece = self._range(data)
        data[piece.stop : piece.stop] = data[piece] * self._chance.choice((1, 1, 2, 50))

    def _cut(self, data: bytearray) -> None:
        del data[self._at(data) :]

    def _splice(self, data: bytearray) -> None:
        other = self._chance.choice(self._seeds)
        data[self._at(data) :] = other[int(self._chance.random() * (len(other) + 1)) :]

    def _noise(self, data: bytearray) -> None:
        at = self._at(data)
        data[at:at] = self._chance.randbytes(int(self._chance.random() * 16))
