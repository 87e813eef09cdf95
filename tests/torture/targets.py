"""What is fuzzed of what takes bytes from elsewhere: the spool line, the configuration, answers, requests.

A target's ``feed`` takes any input at all and raises nothing: what the function under it may raise by its word is
caught there, and what it returns has to be a verdict that makes sense (an `AssertionError` says which does not).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from bench import ONE_MS
from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config import parse
from kegnet_client.config.edit import fill, render
from kegnet_client.core import records
from kegnet_client.core.errors import ConfigError, RecordError
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire import answer as wire_answer
from kegnet_client.core.wire import batch, forms
from kegnet_client.core.wire.answer import Answer
from kegnet_client.hub.ingest import batch as ingest_batch
from kegnet_client.hub.ingest import forms as ingest_forms
from kegnet_client.keys import normal_pem
from kegnet_client.sinks.kegnet_section import KEGNET

REQUEST = "sha-256=:QUJD:"
"""The digest of the request that is answered."""
UUID = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
FULL = 1_000_000

Feed = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Target:
    """``open`` gives what to feed; ``share`` is how much of the time it gets, ``planned`` when it has had enough."""

    name: str
    seeds: Sequence[bytes]
    tokens: Sequence[bytes]
    open: Callable[[Path], AbstractContextManager[Feed]]
    planned: int = FULL
    share: float = 1.0


def expect(holds: object, what: str) -> None:
    """`AssertionError` when it does not hold, however Python was started."""
    if not holds:
        raise AssertionError(what)


def _pure(feed: Feed) -> Callable[[Path], AbstractContextManager[Feed]]:
    return lambda _: nullcontext(feed)


def read_spool_line(data: bytes) -> None:
    for name in ("x.pour", "x.reading"):
        try:
            record = records.parse(name, data)
        except RecordError as error:
            expect(str(error), "a rejection without a reason")
            continue
        again = records.parse(name, records.format_record(record))
        expect(again == record, f"{record} is {again} when it is written and read")


def read_configuration(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    parse.given(text, KEGNET)
    try:
        settings = parse.parse(text, SECTIONS, Path("/root"), Path("/root/conf/client.conf")).section(KEGNET)
    except ConfigError as error:
        expect(error.faults, "a refusal that names no fault")
        expect(all(fault.isprintable() for fault in error.faults), f"a fault that breaks the line: {error.faults}")
        return
    expect(forms.is_uuid(settings.uuid), "no sense")
    expect(settings.base.host, "no sense")


@contextmanager
def configuration_files(directory: Path) -> Iterator[Feed]:
    file = directory / "client.conf"

    def feed(data: bytes) -> None:
        file.write_bytes(data)
        try:
            parse.load(directory, file, SECTIONS)
        except ConfigError as error:
            expect(error.faults, "a refusal that names no fault")

    yield feed


def split(data: bytes) -> tuple[str, dict[str, str], bytes]:
    """A message out of a first line, headers, an empty line and the rest."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return first, headers, body


def split_answer(data: bytes) -> Answer:
    status, headers, body = split(data)
    code = int(status[:3]) if status[:3].isascii() and status[:3].isdigit() else 200
    return Answer(code, headers, body)


def judge_answer(data: bytes) -> None:
    answer = split_answer(data)
    verdict = wire_answer.judge(answer, "https://kegnet.example/rest/v2/pour", ONE_MS)
    expect((verdict.disposition is Disposition.ACCEPTED) == (200 <= answer.status < 300), str(verdict))
    expect((verdict.disposition is Disposition.REJECTED) == (answer.status in (400, 409, 413, 422)), str(verdict))
    expect(verdict.reason.isprintable(), f"a reason that breaks the line: {verdict.reason!r}")
    wait_s = wire_answer.parse_retry_after(answer.headers.get("retry-after"), answer.headers.get("date"), ONE_MS)
    expect(wait_s is None or 0 <= wait_s <= wire_answer.MAX_RETRY_AFTER_S, str(wait_s))


def judge_batch_answer(data: bytes) -> None:
    answer, ids = split_answer(data), ("a" * 32, "b" * 32, "c" * 32)
    verdicts = batch.judge(answer, REQUEST, ids, "https://kegnet.example/rest/v3/records", ONE_MS)
    expect(len(verdicts) == len(ids), str(verdicts))
    expect(all(verdict.reason.isprintable() for verdict in verdicts), f"a reason that breaks the line: {verdicts}")
    accepted = sum(verdict.disposition is Disposition.ACCEPTED for verdict in verdicts)
    rejected = sum(verdict.disposition is Disposition.REJECTED for verdict in verdicts)
    if accepted or rejected:
        said = json.loads(answer.body)
        expect(answer.status == 200, str(verdicts))
        expect(said["request"] == REQUEST, str(verdicts))
        expect((said["accepted"], len(said["rejected"])) == (accepted, rejected), str(verdicts))


def read_form(data: bytes) -> None:
    for name in ingest_forms.CALLS:
        for version in ingest_forms.VERSIONS:
            try:
                claim = ingest_forms.read_claim(name, version, data)
            except RecordError as error:
                expect(str(error), "a refusal without a reason")
                continue
            expect(claim.device == claim.device.lower(), "no sense")
            again = ingest_forms.reread_claim(name, version, claim.proof.text, claim.proof.signature)
            expect(again == claim, f"{claim} is {again} when it is read out of what was signed")


@contextmanager
def signed_requests(_: Path) -> Iterator[Feed]:
    """The headers that matter a line each, an empty line, the content."""
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = normal_pem(key)

    def feed(data: bytes) -> None:
        head, _, content = data.partition(b"\n\n")
        fields = (head.decode("latin-1").split("\n") + [""] * 5)[:5]
        kind, encoding, digest, signature_input, signature = fields
        request = ingest_forms.SignedRequest(
            "/rest/v3/records", kind, encoding or None, digest, signature_input, signature, content
        )
        try:
            ingest_batch.read_batch(request).prove([pem], ONE_MS)
        except (ingest_forms.RefusedError, batch.ContentError, batch.TooMuchError) as error:
            expect(str(error), "a refusal without a reason")

    yield feed


def read_batch(data: bytes) -> None:
    try:
        content = batch.parse_content(data)
    except batch.ContentError as error:
        expect(str(error), "a refusal without a reason")
        return
    for item in content.items:
        expect((item.record is None) == bool(item.reason), str(item))
        expect(item.record is None or item.id == batch.identify(item.record, content.device), str(item))
    batch.format_verdicts(
        REQUEST, content.items, {n: item.reason for n, item in enumerate(content.items) if item.reason}
    )


LINES = (
    b"0,586,8123,1700000000000\n",
    b"0,586,8,1700000000",
    b"255,2147483647,86400000,4102444799999\n",
    b"28-0316a2795c5b,3875,1700000000000\n",
    b"28-0316a2795c5b,-55000,978307200000",
)
SHIPPED = render(SECTIONS).encode()
CONFIGURATIONS = (
    SHIPPED,
    fill(render(SECTIONS), KEGNET, {"uuid": UUID, "base": "https://kegnet.example/rest/v2"}).encode(),
    f"[KegNet]\nuuid = {UUID}\nserviceBaseURL = https://localhost:8443/rest/v3\npingInterval = 60\n".encode(),
    f"[KegNet]\nuuid: {UUID}\nserviceBaseURL: http://[::1]:80/x/rest/v1\n[Spool]\ndirectory = /var/spool\n".encode(),
    b"[Thermometer]\nsensor = 28-0316a2795c5b\n[Nobody]\nx=1\n",
)
CONFIGURATION_TOKENS = (
    *(setting.name.encode() for section in SECTIONS for setting in section.settings),
    b"[KegNet]", b"[Spool]", b"[DEFAULT]", b"[]", b"https://", b"http://[", b"\n ", b"%(x)s", b"${x}", b"rem ", b"\n#",
    b"xn--", b"@", b"?", b":0", b":65536", b"..",
)  # fmt: skip
ANSWERS = (
    b"200\ncontent-type: application/json\n\n" + b'{"request": "sha-256=:QUJD:", "accepted": 3, "rejected": []}',
    b"200\ncontent-type: application/json\n\n"
    b'{"request": "sha-256=:QUJD:", "accepted": 1, '
    b'"rejected": [{"index": 0, "id": "' + b"a" * 32 + b'", "reason": "x"}, {"index": 2}]}',
    b"400\ncontent-type: text/plain\n\nno such pin",
    b"401\ndate: Tue, 15 Nov 1994 08:12:31 GMT\ncontent-type: text/plain\n\nrevoked",
    b"503\nretry-after: 120\ndate: Tue, 14 Nov 2023 22:13:20 GMT\n\nlater",
    b"429\nretry-after: Tue, 14 Nov 2023 22:15:20 +0000\n\n",
    b"302\nlocation: https://portal.example/login\n\n",
    b"413\n\n", b"404\n\n", b"500\n\n", b"204\n\n",
)  # fmt: skip
ANSWER_TOKENS = (
    b"retry-after: ", b"date: ", b"location: ", b"content-type: ", b"GMT", b"-2359", b"+9999", b"Feb 30", b"0000",
    b"9999", b"24:60:61", b"accepted", b"rejected", b"request",
    b"index", b'"id"', b'"reason"', b"1.0", b"1e400", b"-1", b"[]", b"{}",
)  # fmt: skip
SIGNATURE = b"QUJD"
FORMS = (
    b"id=" + UUID.encode() + b"&pin=0&pulses=586&et=8123&ts=1700000000000&sig=" + SIGNATURE,
    b"id=" + UUID.upper().encode() + b"&temp=-1&ts=1700000000&sig=" + SIGNATURE,
    b"id=" + UUID.encode() + b"&temp=3875&ts=1700000000000&sig=" + SIGNATURE,
    b"id=" + UUID.encode() + b"&ip=192.168.1.57&ts=1700000000000&sig=" + SIGNATURE,
)
FORM_TOKENS = (b"&pin=", b"&ts=", b"&sig=", b"&id=", b"%2B", b"%3D", b"==", b"&&", b"%E2%82%AC")
BATCHES = (
    batch.format_content(
        UUID,
        {
            batch.identify(record, UUID): record
            for record in (
                records.Pour(0, 586, 8123, ONE_MS),
                records.Reading("28-0316a2795c5b", 3875, ONE_MS),
                records.Heartbeat(ONE_MS),
            )
        },
    ),
    b'{"device": "' + UUID.encode() + b'", "records": [{"id": "x", "type": "keg"}, {}]}',
)
BATCH_TOKENS = (
    b'"type"', b'"pour"', b'"id"', b'"pin": 1.0', b'"records"', b"[]", b"{}", b"[{}]", b"1E400", b"-Infinity",
    b"\\u0000", b"\\udc00", b'"device"', b"true", b"{},{}",
)  # fmt: skip
EMPTY_DIGEST = b"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
SIGNATURE_INPUT = (
    b'kegnet=("@method" "@path" "content-type" "content-digest");created=1700000000;keyid="'
    + UUID.encode()
    + b'";alg="ed25519";tag="kegnet-v3"'
)
SIGNED_REQUESTS = (
    b"\n".join((b"application/json", b"", EMPTY_DIGEST, SIGNATURE_INPUT, b"kegnet=:" + b"A" * 86 + b"==:", b"", b"")),
    b"\n".join((b"application/json", b"gzip", EMPTY_DIGEST, SIGNATURE_INPUT, b"kegnet=:QUJD:", b"", b"\x1f\x8b")),
)
SIGNED_TOKENS = (
    b"kegnet=", b'"@path"', b'"@query"', b'"@status"', b'"content-encoding"', b'"x"', b";created=", b";expires=",
    b";keyid=", b";nonce=", b";sf", b";bs", b";req", b"sha-512=", b"::", b"?1", b"()", b"(", b")", b"=:", b"-1", b"1.5",
    b"@1",
)  # fmt: skip

TARGETS = (
    Target("spool line", LINES, LINES, _pure(read_spool_line)),
    Target("answer", ANSWERS, ANSWER_TOKENS, _pure(judge_answer)),
    Target("answer to a batch", ANSWERS, ANSWER_TOKENS, _pure(judge_batch_answer)),
    Target("form", FORMS, FORM_TOKENS, _pure(read_form), share=2),
    Target("batch", BATCHES, BATCH_TOKENS, _pure(read_batch), share=2),
    Target("signed request", SIGNED_REQUESTS, SIGNED_TOKENS, signed_requests, share=3),
    Target("configuration", CONFIGURATIONS, CONFIGURATION_TOKENS, _pure(read_configuration), share=6),
    Target("configuration file", CONFIGURATIONS, CONFIGURATION_TOKENS, configuration_files, FULL // 10),
)
