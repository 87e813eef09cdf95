"""What a screen behind the bar would show: it listens to the hub's events, and tells the level after each pour."""

import os
import sys

import requests


def main(url: str, ca: str) -> None:
    """Listen until ended; the token stands in the environment, where no list of processes shows it."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = ca
        session.headers["Authorization"] = f"Bearer {os.environ['KEGNET_DEMO_TOKEN']}"
        with session.get(f"{url}/api/events?channels=pours", stream=True, timeout=60) as events:
            for line in events.iter_lines(chunk_size=1):
                if line.startswith(b"data:"):
                    for tap in session.get(f"{url}/api/taps", timeout=30).json()["items"]:
                        keg = tap["keg"]
                        print(f"{tap['name']}: {keg['left_ml'] / 1000:.2f} l left, {keg['left_percent']} %", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
