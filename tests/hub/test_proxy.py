"""A hub behind a proxy that cuts a prefix off the path."""

import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.hub.home import Home
from kegnet_client.hub.store.records import Store

from .conftest import serving

Record = dict[str, object]
Batch = Callable[..., tuple[dict[str, str], bytes]]
Serve = Callable[..., str]

TS = 1_700_000_000_000
PREFIX = {"X-Forwarded-Prefix": "/keg/hub"}


@pytest.fixture(scope="module")
def home(make_home: Callable[[], Home]) -> Home:
    """The directory of these tests' hub."""
    return make_home()


@pytest.fixture(scope="module")
def store(home: Home) -> Iterator[Store]:
    """Its database."""
    with closing(Store(home.database())) as store:
        store.prepare()
        yield store


@pytest.fixture
def through(home: Home, store: Store, start: Serve) -> Callable[[str | None], httpx.Client]:
    """``through(proxy)``: a client in the proxy's place, to a hub that has that one named."""

    def connect(proxy: str | None) -> httpx.Client:
        context = ssl.create_default_context(cafile=home.ca_certificate)
        clients.append(httpx.Client(base_url=start(home, store, proxy=proxy), verify=context, trust_env=False))
        return clients[-1]

    clients: list[httpx.Client] = []
    return connect


@pytest.fixture(scope="module")
def url(home: Home, store: Store) -> Iterator[str]:
    """Where the hub answers that trusts a proxy here."""
    with serving(home, store, proxy="127.0.0.1") as url:
        yield url


@pytest.fixture
def proxied(home: Home, url: str) -> Iterator[httpx.Client]:
    """In the place of that proxy."""
    context = ssl.create_default_context(cafile=home.ca_certificate)
    with httpx.Client(base_url=url, verify=context, trust_env=False) as client:
        yield client


@pytest.fixture
def signed(
    store: Store, device_key: rsa.RSAPrivateKey, batch: Batch, record: Callable[..., Record]
) -> tuple[dict[str, str], bytes]:
    """A request of REST v3 as a device signs it whose base URL is https://HOST/keg/hub."""
    tap = str(uuid.uuid4())
    store.add_device(tap, device_key.public_key(), "tap", TS)
    pour = record("pour", tap, pin=0, pulses=5, elapsed_ms=1000, started_ms=TS)
    return batch(tap, [pour], path="/keg/hub/rest/v3/records")


def test_what_was_signed_over_the_whole_path_is_taken_and_verifies_again(
    proxied: httpx.Client, signed: tuple[dict[str, str], bytes], store: Store
) -> None:
    headers, content = signed
    assert proxied.post("/rest/v3/records", headers=headers | PREFIX, content=content).status_code == 200
    assert [row.fault for row in store.verify_stored()] == [None]


def test_without_the_prefix_the_answer_names_the_path_and_what_to_do(
    proxied: httpx.Client, signed: tuple[dict[str, str], bytes]
) -> None:
    headers, content = signed
    answer = proxied.post("/rest/v3/records", headers=headers, content=content)
    assert answer.status_code == 401
    assert "over the path /rest/v3/records" in answer.text
    assert "X-Forwarded-Prefix" in answer.text


@pytest.mark.parametrize("proxy", [None, "10.0.0.1"])
def test_nobody_else_is_believed(
    through: Callable[[str | None], httpx.Client], signed: tuple[dict[str, str], bytes], proxy: str | None
) -> None:
    headers, content = signed
    with through(proxy) as client:
        assert client.post("/rest/v3/records", headers=headers | PREFIX, content=content).status_code == 401


def test_links_and_redirects_lead_back_through_the_proxy(proxied: httpx.Client, home: Home) -> None:
    headers = PREFIX | {"Authorization": f"Bearer {home.token()}"}
    assert proxied.get("/", headers=headers).headers["location"] == "/keg/hub/docs"
    admitted = proxied.get("/docs", params={"token": home.token()}, headers=PREFIX)
    assert (admitted.status_code, admitted.headers["location"]) == (303, "/keg/hub/docs")
    assert proxied.get("/docs/start.js", headers=headers).status_code == 200
    assert proxied.get("/openapi.json", headers=headers).json()["servers"] == [{"url": "/keg/hub"}]


@pytest.mark.parametrize("path", ["/openapi.json", "/api/pours", "/docs", "/rest/openapi.json", "/ca.crt/docs"])
@pytest.mark.parametrize("prefix", ["/rest", "/rest/", "/rest/v3", "/enroll", "/ca.crt", "/ca.crt/docs", "/r"])
def test_no_prefix_opens_what_the_token_guards(proxied: httpx.Client, prefix: str, path: str) -> None:
    answer = proxied.get(path, headers={"X-Forwarded-Prefix": prefix})
    assert answer.status_code in ((401, 404) if path.startswith("/rest/") else (401,))


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "/\\evil.example", "evil", "/a b", "/%2e%2e", "/" + "a" * 300, "/", "", "/a//b", "/é"]
)
def test_a_prefix_that_is_none_is_left_out(proxied: httpx.Client, home: Home, prefix: str) -> None:
    headers = {b"X-Forwarded-Prefix": prefix.encode(), b"Authorization": f"Bearer {home.token()}".encode()}
    assert proxied.get("/", headers=headers).headers["location"] == "/docs"
