"""A new device: its uuid, its key and its configuration, in one go (``kegnet-client init``).

All is checked before the first byte is written, nothing that exists is overwritten, and what a run made is
removed again if a later step fails. client.conf comes last, by rename: it is what makes the device one.

Security: the private key is made on the device and is created with mode 0600, so that there is no moment in
which others could open it.
"""

import contextlib
import os
import shlex
import stat
import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kegnet_client import config
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.core.rest import parse_base_url
from kegnet_client.identity import generate_private_key, parse_identity
from kegnet_client.trust import SYSTEM_CA_BUNDLE, client_context, context_for, read_ca_bundle


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `init` made, for a person to read."""

    uuid: str
    public_pem: str
    file: Path
    private_key: Path
    public_key: Path
    certificate_request: Path
    ca_bundle: Path
    next_steps: tuple[str, ...]


def init(root: Path, url: str, ca: Path | None = None) -> Initialised:
    """Make the device in ``root`` one that delivers to the server at ``url``, whose CA bundle is ``ca``.

    Without ``ca`` the server is believed by the system's store, unless there is a bundle or a ``caBundle`` already.
    Raises `UsageError` for what was given, `ConfigError` for what was found.
    """
    try:
        base = parse_base_url(url)
    except ValueError as error:
        raise UsageError(f"--url {url!r}: {error}") from None
    bundle = None if ca is None else _checked_ca(ca)

    root = root.absolute()
    file = config.default_file(root)
    text = config.read(file) if os.path.lexists(file) else config.render()
    _refuse_configured(text, file)
    values = {"uuid": str(uuid.uuid4()), "base": base.url}
    if bundle is None and "ca_bundle" not in config.given(text) and not os.path.lexists(file.with_name("ca.crt")):
        values["ca_bundle"] = "system"
    text = config.fill(text, values)
    settings = config.parse(text, root, file)

    private_key, public_key, request = settings.private_key, file.with_name("device.pub"), file.with_name("device.csr")
    _refuse_existing((private_key, public_key, request))
    is_ca_there = os.path.lexists(settings.ca_bundle)
    if bundle is None:
        if settings.ca_bundle != SYSTEM_CA_BUNDLE:
            client_context(settings.ca_bundle)
    elif is_ca_there and read_ca_bundle(settings.ca_bundle) != bundle:
        raise ConfigError(
            f"{settings.ca_bundle}: caBundle: differs from what --ca names, and stays; leave out --ca to go on with "
            f"it, or move it away, or put a # before caBundle in {file} if that names it"
        )

    key = generate_private_key()
    identity = parse_identity(settings.uuid, key, base.version, private_key)
    files = [
        (private_key, key, 0o600),
        (public_key, identity.public_pem(), 0o644),
        (request, identity.certificate_request(), 0o644),
    ]
    if bundle is not None and not is_ca_there:
        files.append((settings.ca_bundle, bundle, 0o644))
    _write_all(files, file.resolve(), text.encode())
    return Initialised(
        uuid=settings.uuid,
        public_pem=identity.public_pem().decode("ascii"),
        file=file,
        private_key=private_key,
        public_key=public_key,
        certificate_request=request,
        ca_bundle=settings.ca_bundle,
        next_steps=(
            f"Register the uuid and the public key ({public_key}) at {base.host}; where a certificate is asked for, "
            f"hand in {request}.",
            "Then see whether all is well: kegnet-client check",
        ),
    )


def _checked_ca(path: Path) -> bytes:
    try:
        bundle = read_ca_bundle(path)
        context_for(bundle)
    except ConfigError as error:
        raise UsageError(f"--ca: {error}") from None
    except ValueError as error:
        raise UsageError(f"--ca {path}: {error}; name the file with the server's CA certificate") from None
    if b"PRIVATE KEY-----" in bundle:
        raise UsageError(f"--ca {path}: holds a private key, which belongs nowhere but where it is; name the CA alone")
    return bundle


def _refuse_configured(text: str, file: Path) -> None:
    already = config.given(text) & {"uuid", "base"}
    if already:
        what = "uuid" if "uuid" in already else "serviceBaseURL"
        raise ConfigError(
            f"{file}: [KegNet] {what}: is set already, and stays; to make this a new device put a # before uuid and "
            "serviceBaseURL, then run init again"
        )


def _refuse_existing(paths: Iterable[Path]) -> None:
    faults = [
        f"{path}: exists already, and stays; to make this a new device move it away: "
        f"`mv {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}`"
        for path in paths
        if os.path.lexists(path)
    ]
    if faults:
        raise ConfigError(faults)


def _write_all(files: Iterable[tuple[Path, bytes, int]], file: Path, text: bytes) -> None:
    """Create each of ``files`` (path, content, mode) and put ``text`` into ``file``; all of it or nothing."""
    with contextlib.ExitStack() as undo:
        try:
            for directory in _missing_directories(file.parent):
                directory.mkdir(0o755)
                undo.callback(directory.rmdir)
            for path, content, mode in files:
                _create(path, content, mode, undo)
            _replace(file, text, undo)
            undo.pop_all()  # the rename cannot be taken back
            _sync_directory(file.parent)
        except OSError as error:
            where = error.filename or file.parent
            raise ConfigError(
                f"{where}: cannot be written ({error.strerror}); see that its directory is there, has room and is "
                "yours to write in (sudo), then run init again"
            ) from None


def _missing_directories(path: Path) -> list[Path]:
    """What has to be made for ``path`` to be there, the outermost first."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    return missing[::-1]


def _create(path: Path, content: bytes, mode: int, undo: contextlib.ExitStack) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    undo.callback(path.unlink)
    _write(descriptor, content, mode)
    _sync_directory(path.parent)


def _replace(path: Path, content: bytes, undo: contextlib.ExitStack) -> None:
    """Put a file with ``content`` in the place of ``path``, with the mode and owner of the one that was there."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    undo.callback(temporary.unlink, missing_ok=True)
    mode = 0o644
    if path.exists():
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        with contextlib.suppress(PermissionError):  # only root may give files away
            os.fchown(descriptor, status.st_uid, status.st_gid)
    _write(descriptor, content, mode)
    temporary.rename(path)


def _write(descriptor: int, content: bytes, mode: int) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:  # what the umask took away
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
