"""Who is measured: each is a process that delivers what stands in a device's spool, and what comes into it."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .sink import ENVIRONMENT, python
from .stage import Device

FLOOR = "floor"
PROGRAM = "this program"
ORIGINAL = "original's way"
SYSLOG_NG = "syslog-ng"
CURL = "curl"
INFLUXDB = "InfluxDB"
COLUMNS = (FLOOR, PROGRAM, ORIGINAL, SYSLOG_NG, CURL, INFLUXDB)


@dataclass(frozen=True)
class Command:
    """How to start it."""

    argv: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)


class Contestant(Protocol):
    """Its column in the table, whether it empties the spool, whether it reads all of it before it sends anything."""

    column: str
    removes: bool
    reads_ahead: bool

    def absence(self) -> str | None:
        """Why it cannot take part here, if it cannot."""
        ...

    def command(self, device: Device) -> Command:
        """How it is started to deliver for ``device``."""
        ...


class Floor:
    """`bench.programs.floor` over so many connections, which may compare each file before it is removed."""

    column = FLOOR
    removes = True
    reads_ahead = False

    def __init__(self, connections: int = 1, *, compares: bool = False) -> None:
        self._connections = connections
        self._compares = compares

    def absence(self) -> str | None:
        """Never."""
        return None

    def command(self, device: Device) -> Command:
        """What it is told stands in one argument."""
        work = {
            "port": device.port,
            "ca": str(device.ca),
            "key": str(device.key),
            "device": device.uuid,
            "spool": str(device.spool),
            "protocol": device.protocol,
            "connections": self._connections,
            "compares": self._compares,
        }
        return Command(python("floor", json.dumps(work)), ENVIRONMENT)


class Program:
    """``kegnet-client run``, the executable at ``path``."""

    column = PROGRAM
    removes = True
    reads_ahead = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def absence(self) -> str | None:
        """The executable may be missing."""
        return None if shutil.which(self._path) else f"{self._path} is not here"

    def command(self, device: Device) -> Command:
        """It finds everything below its root."""
        return Command([self._path, "run"], {"KEGNET_ROOT": str(device.root)})


class TwoSinks(Program):
    """The same with a second sink, which is away."""

    def command(self, device: Device) -> Command:
        """The configuration names the second one, too."""
        key = device.root / "conf" / "xively-key"
        key.touch(0o600)
        key.write_text("KEY\n")
        with (device.root / "conf" / "client.conf").open("a") as file:
            file.write("[Xively]\napiUrl = https://localhost:1/v2\nfeedId = 1\ncaBundle = conf/ca.crt\n")
        return super().command(device)


class Original:
    """`bench.programs.original`."""

    column = ORIGINAL
    removes = True
    reads_ahead = False

    def absence(self) -> str | None:
        """Never."""
        return None

    def command(self, device: Device) -> Command:
        """What it is told stands in one argument."""
        work = {
            "url": device.url,
            "ca": str(device.ca),
            "key": str(device.key),
            "device": device.uuid,
            "spool": str(device.spool),
        }
        return Command(python("original", json.dumps(work)), ENVIRONMENT)


class SyslogNg:
    """syslog-ng with a wildcard-file source and an HTTP destination; it neither signs nor removes anything."""

    column = SYSLOG_NG
    removes = False
    reads_ahead = True

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers

    def absence(self) -> str | None:
        """It may not be installed, or without its HTTP destination."""
        return None if shutil.which("syslog-ng") else "it is not installed (syslog-ng-core, syslog-ng-mod-http)"

    def command(self, device: Device) -> Command:
        """It wants a configuration file and a place for its state."""
        if device.protocol == "v2":
            path, content = "pour", 'body("line=$MSG")'
        else:
            path, content = (
                "records",
                'body("{\\"type\\":\\"pour\\",\\"pulses\\":586,\\"line\\":\\"$MSG\\"}")\n'
                '      body-prefix("{\\"records\\":[") body-suffix("]}") delimiter(",") batch-lines(500)',
            )
        configuration = device.root / "syslog-ng.conf"
        configuration.write_text(
            _SYSLOG_NG.format(
                spool=device.spool,
                url=f"{device.url}/{path}",
                ca=device.ca,
                workers=self._workers,
                content=content,
            )
        )
        state = device.root / "syslog-ng"
        places = [f"--persist-file={state}.persist", f"--pidfile={state}.pid", f"--control={state}.ctl"]
        return Command(["syslog-ng", "--foreground", "--no-caps", "--cfgfile", configuration, *places])


class Curl:
    """One curl that posts each file over one connection and ends; it neither signs nor removes anything."""

    column = CURL
    removes = False
    reads_ahead = False

    def absence(self) -> str | None:
        """It may not be installed."""
        return None if shutil.which("curl") else "it is not installed"

    def command(self, device: Device) -> Command:
        """All its requests stand in a file."""
        configuration = device.root / "curl.conf"
        with configuration.open("w") as file:
            for path in sorted(device.spool.iterdir()):
                file.write(
                    f'url = "{device.url}/pour"\ncacert = "{device.ca}"\nsilent\ndata-binary = "@{path}"\nnext\n'
                )
        return Command(["curl", "--config", configuration])


_SYSLOG_NG = """\
@version: 3.38
options {{ log-fifo-size(200000); stats-freq(0); }};
source spool {{
  wildcard-file(base-dir("{spool}") filename-pattern("*.pour") flags(no-parse) max-files(100000)
    log-iw-size(10000000));
}};
destination server {{
  http(url("{url}") method("POST") tls(ca-file("{ca}")) workers({workers})
      {content});
}};
log {{ source(spool); destination(server); flags(flow-control); }};
"""
