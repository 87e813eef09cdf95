"""The verification that REST v3 stands on trusts what RFC 9421 gives as its examples."""

from dataclasses import replace

import pytest
from http_message_signatures import InvalidSignature

from kegnet_client.hub.ingest.batch import Message, Verifier

RFC_KEYS = {
    "test-key-rsa": """-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAhAKYdtoeoy8zcAcR874L8cnZxKzAGwd7v36APp7Pv6Q2jdsPBRrw
WEBnez6d0UDKDwGbc6nxfEXAy5mbhgajzrw3MOEt8uA5txSKobBpKDeBLOsdJKFq
MGmXCQvEG7YemcxDTRPxAleIAgYYRjTSd/QBwVW9OwNFhekro3RtlinV0a75jfZg
kne/YiktSvLG34lw2zqXBDTC5NHROUqGTlML4PlNZS5Ri2U4aCNx2rUPRcKIlE0P
uKxI4T+HIaFpv8+rdV6eUgOrB2xeI1dSFFn/nnv5OoZJEIB+VmuKn3DCUcCZSFlQ
PSXSfBDiUGhwOw76WuSSsf1D4b/vLoJ10wIDAQAB
-----END RSA PUBLIC KEY-----
""",
    "test-key-ecc-p256": """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----
""",
    "test-key-ed25519": """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
""",
}
RFC_CONTENT = b'{"hello": "world"}'
RFC_HEADERS = {
    "Content-Type": "application/json",
    "Content-Digest": (
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
    ),
    "Content-Length": "18",
}
RFC_B_2_6 = Message(
    "POST",
    "https://example.com/foo?param=Value&Pet=dog",
    {
        **RFC_HEADERS,
        "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "Signature-Input": (
            'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"'
        ),
        "Signature": (
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
        ),
    },
)
RFC_4_3 = Message(
    "POST",
    "https://origin.host.internal.example/foo?param=Value&Pet=dog",
    {**RFC_HEADERS, "Forwarded": "for=192.0.2.123;host=example.com;proto=https"},
)
RFC_4_3_CLIENT = {
    "Signature-Input": (
        'sig1=("@method" "@authority" "@path" "content-digest" "content-type" "content-length")'
        ';created=1618884475;keyid="test-key-ecc-p256"'
    ),
    "Signature": "sig1=:X5spyd6CFnAG5QnDyHfqoSNICd+BUP4LYMz2Q0JXlb//4Ijpzp+kve2w4NIyqeAuM7jTDX+sNalzA8ESSaHD3A==:",
}
RFC_4_3_PROXY = {
    "Signature-Input": (
        'proxy_sig=("@method" "@authority" "@path" "content-digest" "content-type" "content-length" "forwarded")'
        ';created=1618884480;keyid="test-key-rsa";alg="rsa-v1_5-sha256";expires=1618884540'
    ),
    "Signature": (
        "proxy_sig=:S6ZzPXSdAMOPjN/6KXfXWNO/f7V6cHm7BXYUh3YD/fRad4BCaRZxP+JH+8XY1I6+8Cy+CM5g92iHgxtRPz+MjniOaYmd"
        "kDcnL9cCpXJleXsOckpURl49GwiyUpZ10KHgOEe11sx3G2gxI8S0jnxQB+Pu68U9vVcasqOWAEObtNKKZd8tSFu7LB5YAv0RAGhB8tmp"
        "v7sFnIm9y+7X5kXQfi8NMaZaA8i2ZHwpBdg7a6CMfwnnrtflzvZdXAsD3LH2TwevU+/PBPv0B6NMNk93wUs/vfJvye+YuI87HU38lZHo"
        "wtznbLVdp770I6VHR6WfgS9ddzirrswsE1w5o0LV/g==:"
    ),
}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("test-key-ed25519", RFC_B_2_6),
        (
            "test-key-ecc-p256",
            replace(RFC_4_3, url="https://example.com/foo", headers={**RFC_4_3.headers, **RFC_4_3_CLIENT}),
        ),
        ("test-key-rsa", replace(RFC_4_3, headers={**RFC_4_3.headers, **RFC_4_3_PROXY})),
    ],
    ids=["ed25519", "p256", "rsa"],
)
def test_the_standards_own_requests_are_believed(key: str, message: Message) -> None:
    verifier = Verifier(key, RFC_KEYS[key], 1618884500_000)
    (result,) = verifier.verify(message, max_age=None)
    assert result.parameters["keyid"] == key
    if "content-digest" in message.headers["Signature-Input"]:
        assert verifier.verify(message, max_age=None, body=RFC_CONTENT)
        with pytest.raises(InvalidSignature):
            verifier.verify(message, max_age=None, body=RFC_CONTENT + b" ")
    with pytest.raises(InvalidSignature):
        verifier.verify(replace(message, method="PUT"), max_age=None)
    with pytest.raises(InvalidSignature):
        verifier.verify(replace(message, url=message.url.replace("/foo", "/bar")), max_age=None)


def test_what_has_expired_was_good_before() -> None:
    message = replace(RFC_4_3, headers={**RFC_4_3.headers, **RFC_4_3_PROXY})
    assert Verifier("test-key-rsa", RFC_KEYS["test-key-rsa"], 1618884540_000).verify(message, max_age=None)
    with pytest.raises(InvalidSignature, match="expired"):
        Verifier("test-key-rsa", RFC_KEYS["test-key-rsa"], 1618884540_001).verify(message, max_age=None)
