"""One artifact's folder: read as one that somebody may have tampered with, and believed when it verifies."""

import hashlib
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from model_store.durable import sync, write_synced
from model_store.errors import InvalidArtifact, first_fault
from model_store.manifest import MANIFEST_FILE, SIGNATURE_FILE, Manifest
from model_store.signatures import SIGNATURE_BYTES, SigningKey, TrustedKeys

STAGING_PREFIX = ".publishing-"  # of the folder of one that is not published yet
_MANIFEST_BYTES = 4 << 20  # far more than any manifest; a bound on what is read before anything is verified


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an artifact, and believe nothing else in its folder yet.

    Raises
    ------
    InvalidArtifact
    """
    return _parsed(folder, _read_regular(folder / MANIFEST_FILE, limit=_MANIFEST_BYTES))


def _parsed(folder: Path, data: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        fault = first_fault(error, document="the document")
        raise InvalidArtifact(
            f"An artifact has a complete {MANIFEST_FILE}. Received: {folder}, where {fault}."
        ) from None


def verify(folder: Path, *, trusted: TrustedKeys | None = None) -> Manifest:
    """Check that an artifact's files are what its manifest says, and return the manifest.

    Parameters
    ----------
    trusted : one of these has signed it, which is checked before anything of it is believed; None: whoever made it

    Raises
    ------
    NotSigned
    InvalidArtifact
        A file is missing, a link, or of another content than was published; or the folder is not the manifest's.
    """
    data = _read_regular(folder / MANIFEST_FILE, limit=_MANIFEST_BYTES)
    if trusted is not None:
        path = folder / SIGNATURE_FILE
        trusted.check(folder, data, _read_regular(path, limit=SIGNATURE_BYTES) if path.exists() else None)
    manifest = _parsed(folder, data)
    place = f"{folder.parent.name}@{folder.name.removeprefix(STAGING_PREFIX)}"
    if place != manifest.name:  # else an old version, signed long ago, could pass for a new one
        raise InvalidArtifact(
            f"An artifact is in the folder of its family and version. Received: {manifest.name} in {folder}."
        )
    for name in manifest.files:
        _read_verified(folder, manifest, name)
    return manifest


@contextmanager
def private_copy(folder: Path, manifest: Manifest, name: str) -> Iterator[Path]:
    """A file of an artifact, to be opened by its path: a copy of the very bytes that were hashed.

    Whoever may write to the store could put another file in its place after `verify`.

    Raises
    ------
    InvalidArtifact
    """
    data = _read_verified(folder, manifest, name)
    with tempfile.TemporaryDirectory(prefix="bonafide-") as private:
        path = Path(private) / name
        path.write_bytes(data)
        yield path


def sign(folder: Path, key: SigningKey) -> Manifest:
    """Sign an artifact that verifies, in place of whoever signed it before, and return its manifest.

    Raises
    ------
    InvalidArtifact
    """
    manifest = verify(folder)
    data = _read_regular(folder / MANIFEST_FILE, limit=_MANIFEST_BYTES)
    if _parsed(folder, data) != manifest:
        raise InvalidArtifact(f"An artifact does not change while it is signed. Received: {folder}, which did.")
    temporary = folder / f".{SIGNATURE_FILE}"
    write_synced(temporary, key.sign(data))
    temporary.replace(folder / SIGNATURE_FILE)
    sync(folder)
    return manifest


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_verified(folder: Path, manifest: Manifest, name: str) -> bytes:
    data, expected = _read_regular(folder / name, limit=None), manifest.files[name]
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise InvalidArtifact(
            f"Each file of an artifact has the SHA-256 that its manifest records. "
            f"Received: {folder / name} with {actual[:12]}… instead of {expected[:12]}…."
        )
    return data


def _read_regular(path: Path, *, limit: int | None) -> bytes:
    """Read a file that is neither a link nor a device, so that an artifact cannot point out of its folder."""
    try:
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and (limit is None or status.st_size <= limit):
            return path.read_bytes()
    except OSError:
        pass
    raise InvalidArtifact(f"An artifact is made of regular, readable files. Received: {path}, which is not one.")
