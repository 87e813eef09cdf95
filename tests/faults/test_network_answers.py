"""Faults in what a server answers: nothing but its own 200 is an acknowledgement, and nothing but a verdict on a record
rejects one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..support.authority import Authority
from ..support.device import Device
from ..support.program import Program
from ..support.waits import wait_until
from .known import KEPT
from .misbehaving_server import Asked, Serve, Server
from .versions import BOTH, V2_LATER, V3, slowly


def after_reload_all_go(device: Device, server: Server, program: Program) -> None:
    """Once it is fixed, nothing is missing."""
    pulses = [int(name[:6]) for name in device.waiting()]
    server.answer = lambda _: 200
    device.reload(program)
    server.wait_for_rows(pulses)
    wait_until(lambda: not device.waiting(), "files stay")


# 20


@pytest.mark.case(20)
@V2_LATER
@pytest.mark.parametrize("who", ["portal", "other host"])
def test_who_is_not_the_server_never_sees_a_request(
    device: Device,
    serve: Serve,
    authority: Authority,
    other_authority: Authority,
    who: str,
) -> None:
    portal = serve(other_authority.issue() if who == "portal" else authority.issue("www.example"))
    device.configure(base=portal.url)
    device.drop(1)
    program = device.run()
    program.log.wait_for("put that CA there" if who == "portal" else "fix the host in serviceBaseURL")
    program.stop()
    assert portal.connections > 0
    assert portal.asked() == []
    assert device.waiting() == ["000001.pour"]


@pytest.mark.case(20)
@V3
@pytest.mark.parametrize(
    "body",
    [
        b"<html>Welcome to our Wi-Fi</html>",
        b"",
        b"{}",
        b'{"accepted": 2, "rejected": []}',
        b'{"accepted": 1}',
        *slowly(
            b"[]",
            b"null",
            b'{"accepted": 0, "rejected": []}',
            b'{"rejected": []}',
            b'{"accepted": "1", "rejected": []}',
            b'{"accepted": true, "rejected": []}',
            b'{"accepted": 1.0, "rejected": []}',
            b'{"accepted": -1, "rejected": [{"index": 0, "reason": "a"}, {"index": 1, "reason": "b"}]}',
            b'{"accepted": 0, "rejected": [{"index": 1, "reason": "no such record"}]}',
            b'{"accepted": 1, "rejected": [',
        ),
    ],
)
def test_a_200_without_the_counts_is_no_acknowledgement(device: Device, server: Server, body: bytes) -> None:
    server.answer = first_body(lambda digest: body.replace(b"{", b'{"request": "%b", ' % digest, 1))
    device.drop(1)
    program = device.run()
    program.log.wait_for(KEPT)
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")
    assert not device.rejected.exists()


def first_body(say: Callable[[bytes], bytes]) -> Callable[[Asked], Any]:
    """A 200 with what ``say`` makes of the digest of the first request with a pour; all others are taken."""
    left = [say]

    def answer(asked: Asked) -> Any:
        if not left or not asked.pulses:
            return 200
        return 200, ["Content-Type: application/json"], left.pop()(asked.headers["content-digest"].encode())

    return answer


# 53


@pytest.mark.case(53)
@V3
@pytest.mark.parametrize(
    "said",
    [
        b'{"accepted": 1, "rejected": []}',
        b'{"request": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", "accepted": 1, "rejected": []}',
        b'{"request": "%b", "accepted": 0, "accepted": 1, "rejected": []}',
        b'{"request": "%b", "accepted": 1, "rejected": {}}',
        b'{"request": "%b", "accepted": 1, "rejected": [], "error": "not really"}',
        b'{"request": "%b", "accepted": 0, "rejected": [{"index": 0}], "rejected": [{"index": 0}]}',
    ],
    ids=["no digest", "another's digest", "twice", "wrong type", "error", "rejected twice"],
)
def test_an_answer_that_is_not_to_this_request_or_contradicts_itself_ends_the_connection(
    device: Device, server: Server, said: bytes
) -> None:
    before: list[int] = []

    def contradict(digest: bytes) -> bytes:
        before.append(server.connections)
        return said.replace(b"%b", digest)

    server.answer = first_body(contradict)
    device.drop(1)
    program = device.run()
    program.log.wait_for(KEPT)
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")
    assert server.connections > before[0]
    assert not device.rejected.exists() or not list(device.rejected.iterdir())


@pytest.mark.case(53)
@BOTH
@pytest.mark.parametrize("size", [300, *slowly(8192)])
def test_an_answer_left_over_is_not_that_to_the_next_record(device: Device, server: Server, size: int) -> None:
    taken: list[int] = []

    def twice(asked: Asked) -> Any:
        if taken or not asked.pulses:
            return 200
        server.store(asked)
        taken.extend(asked.pulses)
        body = asked.acknowledgement()
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: {}\r\nContent-Length: {}\r\n\r\n"
        fill = size - len(head.format("", len(body))) - len(body)
        one = head.format("x" * fill, len(body)).encode() + body
        assert len(one) == size
        return lambda stream: (stream.sendall(one * 2), server.released.wait())

    server.answer = twice
    device.drop(1)
    program = device.run()
    wait_until(lambda: not device.waiting(), "the first file stays")
    server.answer = lambda asked: 503 if asked.pulses and 2 in asked.pulses else 200
    device.drop(2)
    program.log.wait_for(KEPT)
    assert device.waiting() == ["000002.pour"]
    assert set(server.rows()) == {1}
    server.answer = lambda _: 200
    server.wait_for_rows([1, 2])


# 21 to 25


@pytest.mark.case(21)
@V2_LATER
@pytest.mark.parametrize("status", [301, 307, *slowly(300, 302, 303, 308)])
def test_a_redirect_is_not_followed_and_everything_is_kept(
    device: Device, server: Server, serve: Serve, chain: Path, status: int
) -> None:
    elsewhere = serve(chain)
    server.answer = lambda _: (status, [f"Location: {elsewhere.url}/pour"], b"")
    device.drop(1)
    device.drop(2)
    program = device.run()
    told = program.log.wait_for("redirects are not followed; put the final address into serviceBaseURL")
    assert elsewhere.url in told
    assert len(device.waiting()) == 2
    assert elsewhere.connections == 0
    assert len(program.log.lines("redirects are not followed")) == 1
    after_reload_all_go(device, server, program)


@pytest.mark.case(23)
@BOTH
@pytest.mark.parametrize("status", [401, *slowly(403)])
def test_a_refusal_of_the_device_keeps_and_pauses_everything_with_one_warning(
    device: Device, server: Server, status: int
) -> None:
    server.answer = lambda _: status
    for pulses in (1, 2, 3):
        device.drop(pulses)
    program = device.run()
    program.log.wait_for("register the uuid and the public key there. Records stay in the spool")
    device.drop(4)
    wait_until(lambda: device.status()["counters"]["misconfigured"] == 1, "not counted")
    assert "1 refused" in device.command("status").stdout
    assert len(device.waiting()) == 4
    assert len(server.asked()) == 1, "it does not pause"
    assert len(program.log.lines(KEPT)) == 1
    after_reload_all_go(device, server, program)


@pytest.mark.case(24)
@V2_LATER
@pytest.mark.parametrize("status", [304, 404, 418, *slowly(402, 405, 406, 410, 451, 499)])
def test_an_address_that_is_not_the_right_one_keeps_everything_with_one_configuration_warning(
    device: Device, server: Server, status: int
) -> None:
    server.answer = lambda _: status
    device.drop(1)
    device.drop(2)
    program = device.run()
    told = program.log.wait_for("is not where it takes records; fix serviceBaseURL")
    assert f"answered {status}" in told
    assert len(device.waiting()) == 2
    assert len(server.asked()) == 1, "it does not pause"
    assert len(program.log.lines(KEPT)) == 1
    after_reload_all_go(device, server, program)


@pytest.mark.case(22, 25)
@pytest.mark.parametrize("status", [400, 409, *slowly(422)])
def test_on_v2_a_bad_request_rejects_that_record_alone_and_the_next_one_goes(
    device: Device, server: Server, status: int
) -> None:
    server.answer = lambda asked: (status, [], b"no beer\x1b[2J") if 2 in asked.pulses else 200
    paths = [device.drop(pulses, age_s=100 - pulses) for pulses in (1, 2, 3)]
    data = paths[1].read_bytes()
    program = device.run()
    server.wait_for_rows([1, 3])
    wait_until(lambda: not device.waiting(), "files stay")
    assert (device.rejected / "000002.pour").read_bytes() == data
    assert f"the server answered {status}: no beer" in device.reason("000002.pour")
    assert len(server.asked(2)) == 1
    program.log.wait_for("rejected 000002.pour: ")
    wait_until(lambda: device.status()["counters"]["rejected"] == 1, "not counted")


@pytest.mark.case(22)
def test_on_v2_ten_rejections_in_a_row_are_the_servers_fault_and_the_rest_stays(device: Device, server: Server) -> None:
    server.answer = lambda _: 400
    for pulses in range(1, 16):
        device.drop(pulses, age_s=100 - pulses)
    program = device.run()
    program.log.wait_for("the server rejected 10 records in a row, so the fault is hardly in the records")
    wait_until(lambda: len(device.waiting()) == 5, "not ten")
    assert len(list(device.rejected.glob("*.pour"))) == 10
    assert len(server.asked()) == 10
    server.answer = lambda _: 200
    assert device.command("rejected", "retry").returncode == 0
    device.reload(program)
    server.wait_for_rows(range(1, 16))
    wait_until(lambda: not device.waiting(), "files stay")


@pytest.mark.case(22, 25)
@V3
@pytest.mark.parametrize("status", [400, 409, *slowly(415, 422)])
def test_on_v3_a_status_rejects_nothing(device: Device, server: Server, status: int) -> None:
    server.answer = lambda _: status
    for pulses in range(1, 16):
        device.drop(pulses)
    program = device.run()
    program.log.wait_for(KEPT)
    assert len(device.waiting()) == 15
    assert not device.rejected.exists()
    assert len(server.asked()) == 1, "it does not pause"
    after_reload_all_go(device, server, program)


@pytest.mark.case(22)
@V3
def test_on_v3_a_verdict_rejects_that_record_alone_with_its_reason(device: Device, server: Server) -> None:
    def judge(asked: Asked) -> Any:
        ids = {record["id"]: index for index, record in enumerate(asked.records) if record.get("pulses") == 2}
        rejected = [{"index": index, "id": name, "reason": "no beer"} for name, index in ids.items()]
        if not rejected:
            return 200
        return 200, ["Content-Type: application/json"], asked.acknowledgement(*rejected)

    server.answer = judge
    paths = [device.drop(pulses) for pulses in (1, 2, 3)]
    data = paths[1].read_bytes()
    device.run()
    wait_until(lambda: not device.waiting(), "files stay")
    assert sorted(path.name for path in device.rejected.iterdir()) == ["000002.pour", "000002.pour.reason"]
    assert (device.rejected / "000002.pour").read_bytes() == data
    assert "no beer" in device.reason("000002.pour")
    wait_until(lambda: device.status()["counters"]["rejected"] == 1, "not counted")


# 64


@pytest.mark.case(64)
@V3
@pytest.mark.parametrize("bad", [{6, 3, 1}, *slowly({1, 2}, {5, 6}, {1, 3, 5})])
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "the other way round"])
def test_each_record_of_a_request_goes_by_its_own_verdict(
    device: Device, server: Server, bad: set[int], turned: bool
) -> None:
    def judge(asked: Asked) -> Any:
        for record in asked.records:
            if record.get("pulses") not in {*bad, None}:
                taken.append(record["pulses"])
        rejected = [
            {"index": index, "id": record["id"], "reason": f"no {record['pulses']}"}
            for index, record in enumerate(asked.records)
            if record.get("pulses") in bad
        ]
        answer = asked.acknowledgement(*(reversed(rejected) if turned else rejected))
        return 200, ["Content-Type: application/json"], answer

    taken: list[int] = []
    server.answer = judge
    for pulses in range(1, 7):
        device.drop(pulses, age_s=100 - pulses)
    device.run()
    wait_until(lambda: not device.waiting(), "files stay")
    assert sorted(taken) == sorted({*range(1, 7)} - bad)
    reasons = {path.name: path.read_text() for path in device.rejected.glob("*.reason")}
    assert reasons.keys() == {f"{pulses:06}.pour.reason" for pulses in bad}
    assert all(f"no {int(name[:6])}" in reason for name, reason in reasons.items())


# 26


@pytest.mark.case(26)
@BOTH
def test_what_is_too_large_alone_is_rejected_and_the_others_go(device: Device, server: Server) -> None:
    server.answer = lambda asked: 413 if 5 in asked.pulses or len(asked.records) > 3 else 200
    for pulses in range(1, 21):
        device.drop(pulses, age_s=100 - pulses)
    program = device.run()
    server.wait_for_rows([*range(1, 5), *range(6, 21)])
    wait_until(lambda: not device.waiting(), "files stay")
    assert sorted(path.name for path in device.rejected.iterdir()) == ["000005.pour", "000005.pour.reason"]
    assert "413" in device.reason("000005.pour")
    program.log.wait_for("rejected 000005.pour")
    assert set(server.rows().values()) == {1}
