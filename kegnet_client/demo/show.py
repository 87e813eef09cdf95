"""``kegnet-client demo``: the main job to watch, or with ``--once`` one round of it, checked."""

import os
import signal
import sys
from pathlib import Path

import requests

from kegnet_client.core.errors import KegnetError
from kegnet_client.demo.stage import Stage
from kegnet_client.demo.thermometer import SENSOR, remember_a_day
from kegnet_client.host.clock import Clock

ROUND_TIMEOUT_S = 30.0
ACTOR = (sys.executable, "-P", "-m")


def demo(*, once: bool) -> int:
    """Run it until Ctrl-C, or one round; the exit code. Raises `KegnetError` when something is not as it should."""
    # Whoever ends the demo with SIGTERM wants its processes ended, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stage = Stage()
    try:
        stage.set_up()
        if once:
            _one_round(stage)
        else:
            _watch(stage)
    except KeyboardInterrupt:
        print("\nended; nothing is left of it")
    finally:
        stage.tear_down()
    return 0


def _watch(stage: Stage) -> None:
    command = Path(sys.executable).with_name("kegnet-client")
    remember_a_day(stage.spool, Clock().wall_ms())
    # What is said of the day would push the lines below off the screen. Of a record it is said once its file is gone.
    while any(stage.spool.glob("*.reading")):
        stage.next_line(ROUND_TIMEOUT_S)
    print(f"""\
A tap pours, a thermometer measures, kegnet-client delivers, a hub stores. Ctrl-C ends all of it.

  the spool      {stage.spool}
  in a browser   {stage.url}/?token={stage.token}
  what arrived   curl --cacert {stage.hub}/ca.crt -H 'Authorization: Bearer {stage.token}' {stage.url}/api/pours
  drop your own  echo "3,160,4000,$(date +%s%3N)" > {stage.spool}/mine.pour
                 cp FILE.pour {stage.spool}/
                 {command} pour --root {stage.root} --pin 3 --pulses 160 --elapsed-ms 4000
  ask it         {command} status --root {stage.root}
  what is left   {command} hub status --dir {stage.hub}
""")
    stage.start("thermometer", *ACTOR, "kegnet_client.demo.thermometer", str(stage.tree))
    stage.start("screen", *ACTOR, "kegnet_client.demo.levels", stage.url, f"{stage.hub}/ca.crt")
    stage.start("tap", *ACTOR, "kegnet_client.demo.tap", str(stage.spool))
    while True:
        who, line = stage.next_line()
        print(f"{who:<12} {line}", flush=True)


def _one_round(stage: Stage) -> None:
    stage.start("tap", *ACTOR, "kegnet_client.demo.tap", str(stage.spool), "0.1")
    print("pouring      0.1 l, pulse by pulse")
    name = stage.wait_for("client", r"(?<=delivered )\S+\.pour", ROUND_TIMEOUT_S)
    if (stage.spool / name).exists():
        raise KegnetError(f"{name} is acknowledged but still in the spool")
    print("acknowledged and gone from the spool")

    rows = _get(stage, "/api/pours")
    if [(row["pin"], row["pulses"]) for row in rows] != [(0, 540)]:
        raise KegnetError(f"the hub does not have the pour, but {rows}")
    print(f"at the hub   {rows[0]}")
    tap = next(one for one in _get(stage, "/api/taps") if one["name"] == "Demo tap")
    keg = tap["keg"]
    if not isinstance(keg, dict) or not 0 < keg["poured_ml"] < 200:
        raise KegnetError(f"the hub does not know what is left in the keg, but {tap}")
    print(f"{tap['name']}     {keg['left_ml'] / 1000:.2f} l left of 20")

    if doubt := Clock().doubt():
        print(f"no temperature yet: {doubt}")
    else:
        if not any(row["millidegrees"] == 3875 for row in _get(stage, "/api/temperatures")):
            stage.wait_for("client", f"delivered .*{SENSOR}", ROUND_TIMEOUT_S)
        print(f"at the hub   {_get(stage, '/api/temperatures')[0]}")

    _verify(stage)
    print("done: the row is there, its signature holds, the file is gone")


def _get(stage: Stage, path: str) -> list[dict[str, object]]:
    with requests.Session() as session:
        # The demo talks to this machine, whatever proxy the environment names.
        session.trust_env = False
        answer = session.get(
            stage.url + path,
            headers={"Authorization": f"Bearer {stage.token}"},
            verify=os.fspath(stage.hub / "ca.crt"),
            timeout=ROUND_TIMEOUT_S,
        )
        answer.raise_for_status()
        rows: list[dict[str, object]] = answer.json()["items"]
        return rows


def _verify(stage: Stage) -> None:
    from kegnet_client.hub.home import Home
    from kegnet_client.hub.store.records import Store

    store = Store(Home(stage.hub).database())
    try:
        verified = list(store.verify_stored())
    finally:
        store.close()
    faults = [one for one in verified if one.fault]
    if faults or not verified:
        raise KegnetError(f"stored signatures do not verify: {faults or 'there are none'}")
    print(f"verified     {len(verified)} stored rows again, from the signed bytes that the hub kept")
