"""A TLS server that is not ours (nginx, with certificates that openssl made), a device, its daemon."""

import http.server
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.program import COMMAND, Program
from ..support.waits import WAIT_S
from .device import Device
from .nginx import Nginx


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What ``command`` prints; it has to end well."""
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, timeout=WAIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A directory with ca.crt, server.crt and server.key, made by openssl."""
    directory = tmp_path / "certificates"
    directory.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("openssl", "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=CA", cwd=directory)
    run("openssl", "req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost", cwd=directory)
    (directory / "names").write_text("subjectAltName=DNS:localhost\n")
    issue = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-out", "server.crt")
    run("openssl", "x509", "-req", "-in", "server.csr", *issue, cwd=directory)
    return directory


@pytest.fixture
def nginx(tmp_path: Path, certificates: Path, device_root: Path) -> Iterator[Nginx]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Nginx(port, certificates / "ca.crt", tmp_path / "bodies.log")

    class Application(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            standing = {path.name for path in (device_root / "spool").iterdir()}
            server.received.put((self.path, body, standing))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    application = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    threading.Thread(target=application.serve_forever, daemon=True).start()
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(f"""
        daemon off;
        user root;
        pid {tmp_path}/nginx.pid;
        events {{}}
        http {{
            access_log off;
            log_format body escape=none '$request_body';
            client_body_temp_path {tmp_path}/nginx-body;
            proxy_temp_path {tmp_path}/nginx-proxy;
            fastcgi_temp_path {tmp_path}/nginx-fastcgi;
            uwsgi_temp_path {tmp_path}/nginx-uwsgi;
            scgi_temp_path {tmp_path}/nginx-scgi;
            server {{
                listen 127.0.0.1:{port} ssl;
                server_name localhost;
                ssl_certificate {certificates}/server.crt;
                ssl_certificate_key {certificates}/server.key;
                location / {{
                    access_log {server.bodies} body;
                    proxy_pass http://127.0.0.1:{application.server_port};
                }}
            }}
        }}
    """)
    process = subprocess.Popen(
        ["nginx", "-e", "stderr", "-c", str(configuration)], stderr=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        wait_until_it_listens(process, port)
        yield server
    finally:
        process.terminate()
        process.communicate(timeout=WAIT_S)
        application.shutdown()
        application.server_close()


def wait_until_it_listens(process: "subprocess.Popen[str]", port: int) -> None:
    """nginx says nothing when it is ready; it answers."""
    for _ in range(1000):
        assert process.poll() is None, process.communicate()[1]
        with socket.socket() as probe:
            probe.settimeout(WAIT_S)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.01)
    pytest.fail("nginx does not listen")


@pytest.fixture
def device_root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "spool").mkdir(parents=True)
    return root


@pytest.fixture
def device(device_root: Path, nginx: Nginx) -> Iterator[Device]:
    """A device that delivers to nginx, already running."""
    run(COMMAND, "init", "--root", device_root, "--url", nginx.url, "--ca", nginx.ca)
    program = Program([COMMAND, "run", "--root", device_root], os.environ)
    try:
        program.log.wait_for("delivers from")
        yield Device(device_root, program.log)
        assert program.stop()[0] == 0
    finally:
        program.close()
