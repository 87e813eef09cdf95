"""The main job, against a server and with a verifier that no one here wrote."""

import base64
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import parse_qs

import pytest

import kegnet_client

from .device import Device
from .nginx import Nginx

LINE = "0,586,8123,1386531209417"

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


def verified_by_openssl(tmp_path: Path, public_key: Path, canonical_string: str, signature: str) -> bool:
    (tmp_path / "canonical").write_text(canonical_string)
    (tmp_path / "signature").write_bytes(base64.b64decode(signature))
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", public_key, "-signature", "signature", "canonical"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() == "Verified OK"


def arrives(nginx: Nginx, device: Device, tmp_path: Path, name: str) -> None:
    path, body, standing = next(
        request for request in iter(lambda: nginx.received.get(timeout=30), None) if request[0].endswith("/pour")
    )
    assert path == "/rest/v2/pour"
    assert name in standing, "the file went before the answer"
    form = {field: values[0] for field, values in parse_qs(body.decode(), strict_parsing=True).items()}
    signature = form.pop("sig")
    assert form == {"id": device.uuid, "pin": "0", "pulses": "586", "et": "8123", "ts": "1386531209417"}
    assert verified_by_openssl(tmp_path, device.root / "conf" / "device.pub", f"{device.uuid},{LINE}", signature)
    device.log.wait_for(f"delivered {name}")
    assert not (device.spool / name).exists()
    assert body.decode() in nginx.bodies.read_text().splitlines(), "nginx saw another body"


def test_a_pour_that_is_renamed_into_place_arrives_signed_and_then_its_file_goes(
    nginx: Nginx, device: Device, tmp_path: Path
) -> None:
    (device.spool / ".moved.tmp").write_text(LINE)
    subprocess.run(["mv", ".moved.tmp", "moved.pour"], cwd=device.spool, check=True)
    arrives(nginx, device, tmp_path, "moved.pour")


def test_a_pour_that_is_copied_into_place_arrives_signed_and_then_its_file_goes(
    nginx: Nginx, device: Device, tmp_path: Path
) -> None:
    (tmp_path / "copied.pour").write_text(LINE + "\n")
    subprocess.run(["cp", tmp_path / "copied.pour", device.spool], check=True)
    arrives(nginx, device, tmp_path, "copied.pour")


@pytest.mark.wheel
def test_what_is_tested_is_the_built_wheel() -> None:
    checkout = Path(__file__).parents[2]
    assert not Path(kegnet_client.__file__).is_relative_to(checkout / "kegnet_client")
    assert distribution("kegnet-client").version == kegnet_client.__version__
