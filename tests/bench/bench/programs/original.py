"""The original's way of working, on today's libraries: KegNet's first client for the Raspberry Pi, from 2013.

One thread sweeps the whole spool once a minute or when inotify says that something moved in, and posts each pour
by itself with ``requests.post``, which makes a connection and a TLS context of its own every time. Its sleep of
ten seconds at the start, its temperatures and its retries are left out, and it signs through cryptography, which
is faster than the PyCrypto that it had. A pour that is not answered with 2xx stays.

The argument is a JSON object: the url, ca, key, device and spool.
"""

import base64
import json
import logging
import os
import sys
from pathlib import Path

import pyinotify
import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

POLL_MS = 60_000
TIMEOUT_S = 10


def deliver(path: Path, work: dict[str, str], key: RSAPrivateKey) -> None:
    """One pour."""
    pin, pulses, elapsed, started = path.read_text().strip().split(",")
    form = {"id": work["device"], "pin": pin, "pulses": pulses, "et": elapsed, "ts": started}
    form["sig"] = base64.b64encode(key.sign(",".join(form.values()).encode(), PKCS1v15(), SHA256())).decode()
    response = requests.post(work["url"] + "/pour", data=form, verify=work["ca"], timeout=TIMEOUT_S)
    if response.ok:
        path.unlink()
        logging.info("sent %s", path.name)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    work = json.loads(sys.argv[1])
    key = load_pem_private_key(Path(work["key"]).read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    manager = pyinotify.WatchManager()
    manager.add_watch(work["spool"], pyinotify.IN_MOVED_TO)
    notifier = pyinotify.Notifier(manager, pyinotify.ProcessEvent(lambda _: None), timeout=POLL_MS)
    while True:
        for name in os.listdir(work["spool"]):  # noqa: PTH208 (as it was)
            if name.endswith(".pour"):
                deliver(Path(work["spool"], name), work, key)
        if notifier.check_events():
            notifier.read_events()
            notifier.process_events()


if __name__ == "__main__":
    main()
