"""A new device: its uuid, its key and its configuration, in one go.

`init` does all of it for a server elsewhere; `draft` and `write` are its two halves, for ``enroll`` to go between.
All is checked before the first byte is written, nothing that exists is overwritten, and what a run made is
removed again if a later step fails. client.conf comes last, by rename: it is what makes the device one.

Security: the private key is made on the device and is created with mode 0600, so that there is no moment in
which others could open it.
"""

import contextlib
import os
import shlex
import stat
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.edit import clear, fill, render
from kegnet_client.config.parse import default_file, given, parse, read, value_of
from kegnet_client.config.settings import AnySection, Config
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.core.wire.base_url import BaseUrl, parse_base_url
from kegnet_client.host.atomic_file import open_directory, prepare_file, sync_directory
from kegnet_client.host.regular_file import read_regular
from kegnet_client.host.root import DEFAULT_ROOT
from kegnet_client.keys import generate_private_key, parse_identity
from kegnet_client.net.tls import MAX_BUNDLE_BYTES, SYSTEM_CA_BUNDLE, client_context, context_for, read_ca_bundle
from kegnet_client.sinks.kegnet_section import KEGNET, KegNetSettings

REPLACE_ADVICE = "to do all of that at once, and keep what is here aside: `kegnet-client enroll --replace URL CODE`"


@dataclass(frozen=True, slots=True)
class Draft:
    """A device to be, as far as it can be judged before anything is written. ``command`` is who makes it."""

    command: str
    text: str
    """client.conf's."""
    config: Config
    replaces: bool = False
    """Whether what is there already is kept aside, and this takes its place."""
    uuid_before: str | None = None
    """What client.conf said before, if anything."""

    @property
    def settings(self) -> KegNetSettings:
        """The device and its server."""
        return self.config.section(KEGNET)

    @property
    def public_key(self) -> Path:
        """Where its public key goes."""
        return self.config.file.with_name("device.pub")

    @property
    def certificate_request(self) -> Path:
        """Where its certificate request goes, if anyone wants one."""
        return self.config.file.with_name("device.csr")


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


def init(root: Path, sections: Sequence[AnySection], url: str, ca: Path | None = None) -> Initialised:
    """Make the device in ``root`` one that delivers to the server at ``url``, whose CA bundle is ``ca``.

    Without ``ca`` the server is trusted by the system's store, unless there is a bundle or a ``caBundle`` already.
    Raises `UsageError` for what was given, `ConfigError` for what was found.
    """
    try:
        base = parse_base_url(url)
    except ValueError as error:
        raise UsageError(f"--url {url!r}: {error}") from None
    bundle = None if ca is None else checked_ca(ca)

    device = draft(root, sections, base, "init", brings_ca=bundle is not None)
    settings, private_key, request = device.settings, device.settings.private_key, device.certificate_request
    refuse_existing(private_key, device.public_key, request)
    ca_files = []
    if bundle is not None:
        ca_files = ca_to_write(device, bundle, "what --ca names", "leave out --ca to go on with it, or ")
    elif settings.ca_bundle != SYSTEM_CA_BUNDLE:
        client_context(settings.ca_bundle)

    key = generate_private_key()
    identity = parse_identity(settings.uuid, key, base.version, private_key)
    write(
        device,
        [
            (private_key, key, 0o600),
            (device.public_key, identity.public_pem(), 0o644),
            (request, identity.certificate_request(), 0o644),
            *ca_files,
        ],
    )
    return Initialised(
        uuid=settings.uuid,
        public_pem=identity.public_pem().decode("ascii"),
        file=device.config.file,
        private_key=private_key,
        public_key=device.public_key,
        certificate_request=request,
        ca_bundle=settings.ca_bundle,
        next_steps=(
            f"Register the uuid and the public key ({device.public_key}) at {base.host}; where a certificate is asked "
            f"for, hand in {request}.",
            f"Then see whether all is well: {name_command(device.config.root)} check",
        ),
    )


def name_command(root: Path) -> str:
    """How kegnet-client is called for the device in ``root`` by whoever may read its key."""
    if root == DEFAULT_ROOT:
        return "sudo kegnet-client"
    return f"kegnet-client --root {shlex.quote(str(root))}"


def draft(
    root: Path,
    sections: Sequence[AnySection],
    base: BaseUrl,
    command: str,
    *,
    brings_ca: bool,
    device: str | None = None,
    replaces: bool = False,
) -> Draft:
    """A new device in ``root`` for the server at ``base``, or ``device`` (a uuid), which comes back.

    `ConfigError` if there is one, or a part of one, unless this one ``replaces`` it. Unless the caller ``brings_ca``,
    or there is a bundle or a ``caBundle`` already, it trusts the system's store.
    """
    root = root.absolute()
    file = default_file(root)
    text = read(file) if os.path.lexists(file) else render(sections)
    values = {"uuid": device or str(uuid.uuid4()), "base": base.url}
    if replaces:
        before = value_of(text, KEGNET, "uuid")
        text = fill(clear(text, KEGNET, (*values, "ca_bundle")), KEGNET, values)
        return Draft(command, text, parse(text, sections, root, file), True, before)
    _refuse_configured(text, sections, root, file, command)
    if not brings_ca and "ca_bundle" not in given(text, KEGNET) and not os.path.lexists(file.with_name("ca.crt")):
        values["ca_bundle"] = "system"
    text = fill(text, KEGNET, values)
    return Draft(command, text, parse(text, sections, root, file))


def ca_to_write(device: Draft, bundle: bytes, source: str, way_out: str = "") -> list[tuple[Path, bytes, int]]:
    """What `write` takes for the device to trust ``bundle``: nothing where it is there; `ConfigError` on another."""
    path = device.settings.ca_bundle
    if device.replaces and (not os.path.lexists(path) or read_regular(path, MAX_BUNDLE_BYTES) != bundle):
        return [(path, bundle, 0o644)]
    if not os.path.lexists(path) and path != SYSTEM_CA_BUNDLE:
        return [(path, bundle, 0o644)]
    if path == SYSTEM_CA_BUNDLE or read_ca_bundle(path) != bundle:
        raise ConfigError(
            f"{path}: caBundle: differs from {source} and was not changed; {way_out}move it away, or put a # before "
            f"caBundle in {device.config.file} if that names it"
        )
    return []


def write(
    device: Draft, files: Iterable[tuple[Path, bytes, int]], before_the_last_step: Callable[[], None] = lambda: None
) -> None:
    """Create each of ``files`` (path, content, mode) and put client.conf in its place; all of it or nothing.

    When ``before_the_last_step`` is called all is on disk but for one rename; if it raises, nothing was written.
    """
    file = device.config.file.resolve()
    with contextlib.ExitStack() as undo:
        try:
            for directory in _missing_directories(file.parent):
                directory.mkdir(0o755)
                undo.callback(directory.rmdir)
            new: list[tuple[Path, Path]] = []
            for path, content, mode in files:
                if device.replaces and os.path.lexists(path):
                    path = path.resolve()
                    new.append((_prepare(path, content, undo, mode), path))
                else:
                    _create(path, content, mode, undo)
            temporary = _prepare(file, device.text.encode(), undo)
            before_the_last_step()
            # No rename can be taken back. What is left of the key that was there has no use any more.
            undo.pop_all()
            for prepared, path in new:
                _keep_aside(path)
                prepared.rename(path)
            if device.replaces:
                key = device.settings.private_key.resolve()
                for name in (f"{key.name}.next", f"{key.name}.previous", f"{key.name}.words"):
                    _keep_aside(key.with_name(name), moves=True)
                if os.path.lexists(file):
                    _keep_aside(file)
            temporary.rename(file)
            sync_directory(file.parent)
        except OSError as error:
            where = error.filename or file.parent
            raise ConfigError(
                f"{where}: cannot be written ({error.strerror}); see that its directory is there, has room and is "
                f"yours to write in (sudo), then run {device.command} again"
            ) from None


def _keep_aside(path: Path, *, moves: bool = False) -> None:
    """Give what is at ``path`` a name beside it that is free; with ``moves`` it loses its own."""
    if not os.path.lexists(path):
        return
    number = 1
    while True:
        aside = path.with_name(f"{path.name}.replaced" + (f".{number}" if number > 1 else ""))
        try:
            os.link(path, aside, follow_symlinks=False)
        except FileExistsError:
            number += 1
            continue
        if moves:
            path.unlink()
        return


def checked_ca(path: Path) -> bytes:
    """The CA bundle that ``--ca`` names; `UsageError` where it is none."""
    try:
        bundle = read_regular(path, MAX_BUNDLE_BYTES)
        context_for(bundle)
    except (OSError, ValueError) as error:
        why = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else error
        raise UsageError(f"--ca {path}: {why}; name the file with the server's CA certificate") from None
    if b"PRIVATE KEY-----" in bundle:
        raise UsageError(f"--ca {path}: holds a private key, which belongs nowhere but where it is; name the CA alone")
    return bundle


def _refuse_configured(text: str, sections: Sequence[AnySection], root: Path, file: Path, command: str) -> None:
    """`ConfigError` with all that is in the way, if client.conf says already which device this is."""
    already = given(text, KEGNET) & {"uuid", "base"}
    if not already:
        return
    what = "uuid" if "uuid" in already else "serviceBaseURL"
    faults = [
        f"{file}: [KegNet] {what}: is already set and was not changed; to make this a new device put a # before "
        f"uuid and serviceBaseURL, then run {command} again"
    ]
    with contextlib.suppress(ConfigError):
        private_key = parse(text, sections, root, file).section(KEGNET).private_key
        faults += _existing(private_key, file.with_name("device.pub"), file.with_name("device.csr"))
    if command == "enroll":
        faults.append(REPLACE_ADVICE)
    raise ConfigError(faults)


def refuse_existing(*paths: Path) -> None:
    """`ConfigError` if any of ``paths`` is there."""
    faults = _existing(*paths)
    if faults:
        raise ConfigError(faults)


def _existing(*paths: Path) -> list[str]:
    return [
        f"{path}: already exists and was not changed; to make this a new device move it away: "
        f"`mv {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}`"
        for path in paths
        if os.path.lexists(path)
    ]


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
    sync_directory(path.parent)


def _prepare(path: Path, content: bytes, undo: contextlib.ExitStack, mode: int | None = None) -> Path:
    """A file with ``content`` to rename to ``path``, with the owner of the one there; and its mode, if none is told."""
    there, owner = 0o644, None
    if path.exists():
        status = path.stat()
        there, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
    with open_directory(path.parent) as directory:
        temporary = path.parent / prepare_file(directory, content, there if mode is None else mode, owner)
    undo.callback(temporary.unlink, missing_ok=True)
    return temporary


def _write(descriptor: int, content: bytes, mode: int) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:  # what the umask took away
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
