"""Answers that never end: they are read to a bound, and cost neither memory nor the records behind them."""

import socket
import zlib
from collections.abc import Callable

import pytest

from ..support.device import Device
from ..support.waits import wait_until
from .misbehaving_server import Server, first
from .versions import V2_LATER, slowly


def endless(
    head: bytes, part: bytes, sent: list[int], status: str = "200 OK\r\nContent-Type: application/json"
) -> Callable[[socket.socket], None]:
    """``part`` again and again, until the other end has enough; how much it was comes into ``sent``."""

    def answer(stream: socket.socket) -> None:
        stream.sendall(f"HTTP/1.1 {status}\r\n".encode() + head)
        sent.append(0)
        while sent[-1] < 2**30:
            stream.sendall(part)
            sent[-1] += len(part)

    return answer


def bomb(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(2**20)
    return b"".join(packer.compress(zeros) for _ in range(mebibytes)) + packer.flush()


@pytest.mark.case(31)
@V2_LATER
@pytest.mark.parametrize("kind", ["body", "gzip bomb", *slowly("chunks", "headers", "continues")])
def test_an_answer_without_end_is_read_to_a_bound_and_closed(device: Device, server: Server, kind: str) -> None:
    sent: list[int] = []
    match kind:
        case "body":
            answer = endless(b"\r\n", b"x" * 65536, sent)
        case "chunks":
            answer = endless(b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n", sent)
        case "headers":
            answer = endless(b"", b"X-More: " + b"x" * 1000 + b"\r\n", sent)
        case "continues":
            answer = endless(b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, sent, status="100 Continue")
        case _:
            packed = bomb(512)
            head = f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
            answer = endless(head.encode(), packed, sent)
    device.configure(deadline_s="2")
    program = device.run()
    device.drop(1)
    server.wait_for_rows([1])
    before_kb = program.memory_kb("VmHWM")
    server.answer = first(answer)
    device.drop(2)
    server.wait_for(2)
    device.drop(3)
    server.wait_for_rows([3])
    wait_until(lambda: not device.waiting(), "files stay")
    if kind != "continues":  # each is a whole answer, and the deadline is their bound
        assert sent[0] < 16 * 2**20, "it goes on reading"
    assert program.memory_kb("VmHWM") - before_kb < 8 * 1024
