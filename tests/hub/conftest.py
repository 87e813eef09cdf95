"""A hub as it is in real life: its own CA, TLS, uvicorn, SQLite on disk; one for the session, a device per test."""

import base64
import gzip
import hashlib
import json
import shutil
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from kegnet_client.core.wire.forms import SIGNED_FIELDS
from kegnet_client.hub import serve
from kegnet_client.hub.app import create_app
from kegnet_client.hub.home import Home
from kegnet_client.hub.hub_section import DEFAULTS, HubSettings
from kegnet_client.hub.ingest import batch as ingest_batch
from kegnet_client.hub.ingest import forms
from kegnet_client.hub.outlets.open import Outlet
from kegnet_client.hub.store.records import Store

from ..support.postgresql import PostgreSQL

NOW_MS = 1_800_000_000_000

Form = Callable[..., bytes]
Post = Callable[[str, bytes], httpx.Response]
Serve = Callable[..., str]
Record = dict[str, object]
Batch = Callable[..., tuple[dict[str, str], bytes]]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@pytest.fixture(scope="session")
def device_key() -> rsa.RSAPrivateKey:
    """The key that registered devices sign with."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def other_key() -> rsa.RSAPrivateKey:
    """A key that no device is registered with."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def form(device_key: rsa.RSAPrivateKey) -> Form:
    """``form("pour", id=..., pin=0, ..., key=...)`` is the body of that call, signed."""

    def make(call: str, *, key: rsa.RSAPrivateKey = device_key, **fields: object) -> bytes:
        signed = ",".join(str(fields[name]) for name in SIGNED_FIELDS[call]).encode()
        signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return urlencode({**fields, "sig": base64.b64encode(signature).decode()}).encode()

    return make


@pytest.fixture(scope="session")
def make_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Home]:
    """Makes a directory as ``hub init`` does."""

    def make() -> Home:
        home = Home(tmp_path_factory.mktemp("hub"))
        home.initialise(["localhost", "127.0.0.1"], None, serve.utc_now())
        return home

    return make


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables and nothing in them, to be copied: to make one takes ten times as long."""
    path = tmp_path_factory.mktemp("empty") / "hub.db"
    with closing(Store(path)) as store:
        store.prepare()
    return path


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Iterator[Store]:
    """An empty database of this test's own."""
    with closing(Store(shutil.copy(empty_database, tmp_path / "hub.db"))) as store:
        store.prepare()
        yield store


@pytest.fixture
def postgresql_store(postgresql_server: PostgreSQL) -> Iterator[Store]:
    """An empty PostgreSQL database of this test's own."""
    with closing(Store(postgresql_server.make_database())) as store:
        store.prepare()
        yield store


@pytest.fixture
def batch(device_key: rsa.RSAPrivateKey) -> Batch:
    """``batch(device, records or content, ...)``: the headers and the content of a REST v3 request.

    Signed here by hand, as the standard says it, so that what signs and what verifies have nothing in common.
    """

    def make(
        device: str,
        what: Sequence[Record] | bytes,
        *,
        key: PrivateKey = device_key,
        path: str = "/rest/v3/records",
        pack: bool = False,
        encoding: str = "",
        parameters: str = "",
        drop: str = "",
        also: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[dict[str, str], bytes]:
        content = what if isinstance(what, bytes) else json.dumps({"device": device, "records": what}).encode()
        headers = {"content-type": "application/json"}
        if pack:
            content, encoding = gzip.compress(content), "gzip"
        if encoding:
            headers["content-encoding"] = encoding
        headers["content-digest"] = f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
        fields = {"@method": "POST", "@path": path, **headers, **also}
        names = " ".join(f'"{name}"' for name in fields if name != drop)
        parameters = parameters or f';created=1700000000;keyid="{device}";tag="kegnet-v3"'
        lines = [f'"{name}": {value}' for name, value in fields.items() if name != drop]
        base = "\n".join([*lines, f'"@signature-params": ({names}){parameters}'])
        headers["signature-input"] = f"kegnet=({names}){parameters}"
        headers["signature"] = f"kegnet=:{base64.b64encode(_sign(key, base.encode())).decode()}:"
        return headers, content

    return make


def _sign(key: PrivateKey, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.fixture
def submission(batch: Batch) -> Callable[..., ingest_batch.Batch]:
    """``submission(device, records, ...)`` is that request as `Store.ingest` takes it."""

    def make(device: str, what: Sequence[Record] | bytes, **options: object) -> ingest_batch.Batch:
        headers, content = batch(device, what, **options)
        fields = {name.replace("-", "_"): value for name, value in headers.items()}
        encoding = fields.pop("content_encoding", None)
        path = "/rest/v3/records"
        return ingest_batch.read_batch(
            forms.SignedRequest(path=path, content_encoding=encoding, content=content, **fields)
        )

    return make


@pytest.fixture
def record() -> Callable[..., Record]:
    """``record("pour", device, ...)``: that record with its id, as REST v3 has it."""

    def make(kind: str, device: str, **fields: object) -> Record:
        values = ",".join(map(str, (device, *fields.values())))
        return {"id": hashlib.sha256(values.encode()).hexdigest()[:32], "type": kind, **fields}

    return make


@contextmanager
def serving(
    home: Home,
    store: Store,
    *,
    bind: str | None = "127.0.0.1",
    settings: HubSettings = DEFAULTS,
    outlets: Sequence[Outlet] = (),
    **options: object,
) -> Iterator[str]:
    """Serves ``store`` from ``home`` in a thread; gives the URL."""
    ready = threading.Event()
    with serve.listen(bind, 0) as listener:
        server = serve.HubServer(
            create_app(store, home.token(), home.ca(), settings=settings, outlets=outlets),
            home,
            listener,
            on_ready=ready.set,
            **options,  # type: ignore[arg-type]  # keyword arguments of HubServer
        )
        thread = threading.Thread(target=server.serve_until_stopped)
        thread.start()
        try:
            assert ready.wait(10)
            yield f"https://localhost:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def start() -> Iterator[Serve]:
    """``start(home, store, ...)`` serves until the test ends; gives the URL."""
    with ExitStack() as stack:
        yield lambda home, store, **options: stack.enter_context(serving(home, store, **options))


@pytest.fixture(scope="session")
def hub_home(make_home: Callable[[], Home]) -> Home:
    """The directory of the session's hub."""
    return make_home()


@pytest.fixture(scope="session")
def hub_store(hub_home: Home) -> Iterator[Store]:
    """The database of the session's hub."""
    with closing(Store(hub_home.database())) as store:
        store.prepare()
        yield store


@pytest.fixture(scope="session")
def hub_url(hub_home: Home, hub_store: Store) -> Iterator[str]:
    """Where the session's hub answers."""
    with serving(hub_home, hub_store) as url:
        yield url


@pytest.fixture(scope="session")
def trust(hub_home: Home) -> ssl.SSLContext:
    """Trusts the session's hub's CA alone, and as strictly as Python 3.13 does."""
    context = ssl.create_default_context(cafile=hub_home.ca_certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.fixture(scope="session")
def web(hub_url: str, trust: ssl.SSLContext) -> Iterator[httpx.Client]:
    """Anyone who can reach the session's hub."""
    with httpx.Client(base_url=hub_url, verify=trust, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def reader(hub_url: str, hub_home: Home, trust: ssl.SSLContext) -> Iterator[httpx.Client]:
    """Someone who has the session's hub's token."""
    headers = {"Authorization": f"Bearer {hub_home.token()}"}
    with httpx.Client(base_url=hub_url, verify=trust, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
def post(web: httpx.Client) -> Post:
    """``post("v2/pour", body)`` as a device does it."""

    def send(call: str, body: bytes) -> httpx.Response:
        return web.post(f"/rest/{call}", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})

    return send


@pytest.fixture
def device(hub_store: Store, device_key: rsa.RSAPrivateKey) -> str:
    """The uuid of a device that is registered with the session's hub for this test."""
    name = str(uuid.uuid4())
    hub_store.add_device(name, device_key.public_key(), f"tap {name[:4]}", NOW_MS)
    return name


@pytest.fixture
def claim(form: Form) -> Callable[..., forms.Claim]:
    """``claim("pour", id=..., ...)`` is that record, signed, as `Store.ingest` takes it."""

    def make(call: str, **fields: object) -> forms.Claim:
        return forms.read_claim(call, forms.VERSIONS[1], form(call, **fields))

    return make
