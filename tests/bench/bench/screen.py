"""How soon a pour is on a screen, and what screens cost the hub: a real device, a real hub, a real Chromium.

Who looks does so from a machine of their own. Here their browsers share one core, so that what is measured is the
hub's work for twenty pages and not that of drawing them, which would take both.
"""

import http.client
import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .contestants import PROGRAM, Program
from .drains import PATIENCE_S
from .figures import median, percentile, readable
from .hub import V2, Hub, loading, make_home, send, serving
from .process import NoFigureError
from .results import Aim, Row
from .run import Run
from .stage import Device

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PULSES = 1080
"""Of each pour, a fifth of a litre: enough to be seen in a figure with one decimal."""
KEG_ML = 50_000
VIEWERS = 20
VISITS = 100
PER_S = 20
# The wall clock of both processes is the machine's, and shows the rename and the frame to a thousandth of a second.
WATCH = """() => {
    const left = () => (document.body.innerText.match(/[0-9.]+ l left/) || [""])[0];
    const before = left();
    window.seen = new Promise(resolve => {
        const look = () => left() === before
            ? requestAnimationFrame(look) : resolve(performance.timeOrigin + performance.now());
        look();
    });
}"""


def screen(run: Run) -> None:
    """From the rename of a file to the page, and a device's POST beside twenty pages."""
    with browsing(run, "the screen") as playwright:
        if playwright is None:
            return
        home, sender = make_home(run, "hub-screen")
        with serving(run, home, sender) as hub, _device(run, hub) as device:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
            context = browser.new_context(ignore_https_errors=True)
            _watch_pours(run, hub, device, open_page(context, hub))
            context.close()
            _beside_viewers(run, hub, browser)
            browser.close()


@contextmanager
def browsing(run: Run, what: str) -> Iterator[Any]:
    """Playwright, or None where it or Chromium is not here, which is noted."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        run.results.note(f"{what}: left out, it takes playwright")
        yield None
        return
    if not CHROMIUM.exists():
        run.results.note(f"{what}: left out, {CHROMIUM} is not installed")
        yield None
        return
    with run.measuring(what, PROGRAM), ExitStack() as stack:
        with _on_one_core():
            playwright = stack.enter_context(sync_playwright())  # its processes inherit it
        yield playwright


@contextmanager
def _on_one_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _watch_pours(run: Run, hub: Hub, device: Device, page: Any) -> None:
    p50 = Row("screen-p50", "rename of a file to a frame of the page that shows it, p50", "ms")
    p99 = Row("screen-p99", "the same, p99", "ms", Aim(300, at_least=False))
    run.results.expect(p50, p99)
    took_ms = []
    page.get_by_text(" l left").wait_for()
    for number in range(10 if run.settings.quick else 100):
        run.tell(f"the screen: pour {number}")
        page.evaluate(WATCH)
        renamed_ns = _pour(device)
        took_ms.append(page.evaluate("window.seen") - renamed_ns / 1e6)
    run.results.add(p50, PROGRAM, median(took_ms))
    run.results.add(p99, PROGRAM, percentile(took_ms, 99))


def _beside_viewers(run: Run, hub: Hub, browser: Any) -> None:
    alone = Row("screen-post-alone", "a device's POST while nobody looks, p99", "ms")
    watched = Row("screen-post-watched", f"the same while {VIEWERS} pages are open, p99", "ms")
    times = Row("screen-post-times", "so many times as long", "times", Aim(2, at_least=False))
    visits = VISITS // 10 if run.settings.quick else VISITS
    memory = [
        Row(f"screen-rss-{number}", f"the hub's RSS, {title}", "MB", aim)
        for number, (title, aim) in enumerate(
            [
                ("no page open", Aim(130, at_least=False)),
                (f"{VIEWERS} pages open", None),
                (f"after {visits} more visits", Aim(200, at_least=False)),
            ]
        )
    ]
    run.results.expect(alone, watched, times, *memory)
    seconds = 5 if run.settings.quick else 30
    with loading(hub, V2) as pours:
        run.results.add(memory[0], PROGRAM, hub.process.rss_mb())
        alone_ms = percentile(send(pours, PER_S * seconds, PER_S)["took_ms"], 99)
        run.results.add(alone, PROGRAM, alone_ms)
        context = browser.new_context(ignore_https_errors=True)
        for number in range(VIEWERS):
            run.tell(f"the screen: viewer {number}")
            open_page(context, hub)
        run.results.add(memory[1], PROGRAM, hub.process.rss_mb())
        took_ms = send(pours, PER_S * seconds, PER_S)["took_ms"]
        watched_ms = percentile(took_ms, 99)
        run.results.add(watched, PROGRAM, watched_ms)
        run.results.add(times, PROGRAM, watched_ms / alone_ms)
        run.results.note(f"beside {VIEWERS} pages a POST takes {readable(median(took_ms))} ms (p50)")
        context.close()
    context = browser.new_context(ignore_https_errors=True)
    for number in range(visits):
        run.tell(f"the screen: visit {number}")
        open_page(context, hub).close()
    context.close()
    run.results.add(memory[2], PROGRAM, hub.process.rss_mb())


def open_page(context: Any, hub: Hub) -> Any:
    """The page of taps, drawn."""
    page = context.new_page()
    page.goto(f"https://localhost:{hub.port}/?token={_token(hub)}")
    page.get_by_text(" l left").first.wait_for()
    return page


@contextmanager
def _device(run: Run, hub: Hub) -> Iterator[Device]:
    """A device at a tap of ``hub`` with a keg, and the program that delivers for it."""
    device = run.stage.device("v3", hub.port, (hub.home / "ca.crt").read_bytes())
    public = run.stage.directory / "device.pub"
    command: list[str | Path] = [run.settings.program, "hub", "devices", "add", device.uuid, public, "--dir", hub.home]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoFigureError(done.stderr.strip())
    make_tap(hub, device.uuid)
    with run.process(Program(run.settings.program), device) as process:
        _pour(device)
        give_up_s = time.monotonic() + PATIENCE_S
        while device.waiting():
            process.check()
            if time.monotonic() > give_up_s:
                raise NoFigureError("the first pour was not delivered")
            time.sleep(0.05)
        yield device


def make_tap(hub: Hub, device: str) -> None:
    """A tap of ``hub`` with a keg, and the first meter of ``device`` at it."""
    tap = _post(hub, "taps", {"name": "Bench", "meters": [{"device": device, "pin": 0}]})
    _post(hub, "kegs", {"size_ml": KEG_ML, "taps": [{"tap": tap["id"]}]})


def _pour(device: Device) -> int:
    """A pour that ends now; the wall clock's nanoseconds at the rename of its file."""
    started_ms = time.time_ns() // 1_000_000 - PULSES
    temp = device.spool / f".{started_ms}.tmp"
    temp.write_text(f"0,{PULSES},{PULSES},{started_ms}\n", "ascii")
    renamed_ns = time.time_ns()
    temp.rename(device.spool / f"{started_ms}.pour")
    return renamed_ns


def _post(hub: Hub, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    trust = ssl.create_default_context(cafile=hub.home / "ca.crt")
    connection = http.client.HTTPSConnection("localhost", hub.port, context=trust, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {_token(hub)}", "Content-Type": "application/json"}
    connection.request("POST", f"/api/{kind}", json.dumps(body), headers)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status != 201:
        raise NoFigureError(f"{kind}: {answer.status} {said[:200]!r}")
    made: dict[str, Any] = json.loads(said)
    return made


def _token(hub: Hub) -> str:
    return (hub.home / "token").read_text().strip()
