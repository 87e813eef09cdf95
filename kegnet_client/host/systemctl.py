"""The systemd unit that runs the daemon, seen from the command line."""

import shutil
import subprocess
from pathlib import Path

UNIT = "kegnet-client"
SYSTEMD_RUNS = Path("/run/systemd/system")
RESTART_S = 90.0


def is_systemd_here() -> bool:
    """Whether this machine was booted by systemd."""
    return SYSTEMD_RUNS.is_dir()


def main_pid() -> int | None:
    """The unit's process; None where it does not run, or there is no systemd."""
    done = _systemctl("show", "--property=MainPID", "--value", UNIT)
    text = done.stdout.strip() if done is not None and done.returncode == 0 else ""
    return int(text) if text.isdecimal() and int(text) else None


def restart() -> str | None:
    """Restart the unit and wait until it is ready; why that failed, if so."""
    done = _systemctl("restart", UNIT)
    if done is None or done.returncode == 0:
        return None if done is not None else "systemctl is not to be found"
    return " ".join(done.stderr.split()) or f"systemctl ended with {done.returncode}"


def _systemctl(*words: str) -> "subprocess.CompletedProcess[str] | None":
    program = shutil.which("systemctl")
    if program is None:
        return None
    try:
        return subprocess.run(  # noqa: S603 (fixed words)
            [program, *words], capture_output=True, text=True, check=False, timeout=RESTART_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
