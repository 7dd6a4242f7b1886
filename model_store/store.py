"""Artifacts on disk: ``<root>/<family>/<integer version>/{model.keras, card.md, manifest.json}``, with
model.onnx where it was published, and manifest.sig where it was signed.

What is on disk is one thing, what a process has loaded another; this module is about the disk. A published
version is never edited. Publishing makes a hidden folder beside the versions, syncs it to the disk, checks it
and renames it: a version is there whole or not at all, whenever the power goes. A pin is a file with a number in
it that says which version ``family`` means; without one it means the newest.
"""

import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from model_store.errors import InvalidArtifact, InvalidName, NotFound
from model_store.manifest import CARD_FILE, MANIFEST_FILE, MODEL_FILE, ONNX_FILE, SIGNATURE_FILE, Manifest
from model_store.signatures import SIGNATURE_BYTES, SigningKey, TrustedKeys

DEFAULT_ROOT = Path(__file__).parent / "pretrained"

_FAMILY = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_PIN_FILE = "pinned"
_LOCK_FILE = ".lock"
_STAGING_PREFIX = ".publishing-"
_MANIFEST_BYTES = 4 << 20  # far more than any manifest; a bound on what is read before anything is verified


class Store:
    """The artifacts below one folder.

    Parameters
    ----------
    root : Path
        Need not exist: a store that is not there is empty.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def families(self) -> list[str]:
        """The families that have a version, in alphabetical order."""
        names = [p.name for p in self.root.iterdir()] if self.root.is_dir() else []
        return sorted(name for name in names if _FAMILY.fullmatch(name) and self.versions(name))

    def versions(self, family: str) -> list[int]:
        """The published versions of a family, ascending as integers: 10 comes after 9."""
        folder = self._family(family)
        names = [p.name for p in folder.iterdir() if _is_real_folder(p)] if _is_real_folder(folder) else []
        return sorted(int(name) for name in names if _VERSION.fullmatch(name))

    def pinned(self, family: str) -> int | None:
        """The version that `family` is pinned to, if any."""
        path = self._family(family) / _PIN_FILE
        if not path.exists():
            return None
        text = path.read_text(encoding="ascii", errors="replace").strip()
        if not _VERSION.fullmatch(text):
            raise InvalidName(f"A pin holds a version, a positive integer. Received: {text[:40]!r} for {family}.")
        return int(text)

    def resolve(self, name: str) -> Path:
        """The folder of ``family@version``, or of what ``family`` means: its pinned, else its newest version.

        Raises
        ------
        InvalidName, NotFound
        """
        family, at, text = name.partition("@")
        versions = self.versions(family)
        if not versions:
            raise NotFound(f"The store has the families {self.families()}. Received: {family!r}.")
        if at and not _VERSION.fullmatch(text):
            raise InvalidName(f"A version is a positive integer. Received: {text[:40]!r}.")
        version = int(text) if at else self.pinned(family) or versions[-1]
        if version not in versions:
            raise NotFound(f"{family} has the versions {versions}. Received: {version}.")
        return self._family(family) / str(version)

    def pin(self, family: str, version: int) -> None:
        """Make ``family`` mean `version` from now on, in one step."""
        folder = self.resolve(f"{family}@{version}").parent
        replace_synced(folder / _PIN_FILE, f"{version}\n".encode())

    def unpin(self, family: str) -> None:
        """Make ``family`` mean its newest version again."""
        folder = self.resolve(family).parent
        (folder / _PIN_FILE).unlink(missing_ok=True)
        _sync(folder)

    def rollback(self, family: str) -> int:
        """Pin the version before the one that ``family`` means now, and return it.

        Raises
        ------
        NotFound
            There is none before.
        """
        current = int(self.resolve(family).name)
        earlier = [version for version in self.versions(family) if version < current]
        if not earlier:
            raise NotFound(f"A rollback takes a version before the current one. Received: {family}@{current}.")
        self.pin(family, earlier[-1])
        return earlier[-1]

    def publish(
        self,
        *,
        model: Path,
        onnx: Path | None = None,
        card: Callable[[Manifest], str],
        manifest: Callable[[int, dict[str, str]], Manifest],
        check: Callable[[Path], object],
        key: SigningKey | None = None,
    ) -> Manifest:
        """Publish a model as the next version of its family.

        Parameters
        ----------
        model : the .keras file, copied
        onnx : the same model as ONNX, copied
        card : manifest -> the text of card.md; it is given a manifest whose hash of the card is not yet final
        manifest : (version, sha256 of each file) -> the manifest; its family is where the artifact goes
        check : called with the complete folder before it is published; what it raises stops the publishing
        key : signs it, as `sign` does afterwards

        Returns
        -------
        The manifest as published.
        """
        family = manifest(1, {MODEL_FILE: "0" * 64, CARD_FILE: "0" * 64}).family
        folder = self._family(family)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            for abandoned in folder.glob(f"{_STAGING_PREFIX}*"):
                shutil.rmtree(abandoned)
            version = max(self.versions(family), default=0) + 1
            staging = folder / f"{_STAGING_PREFIX}{version}"
            staging.mkdir()
            try:
                files = {}
                for name, source in {MODEL_FILE: model, ONNX_FILE: onnx}.items():
                    if source is not None:
                        shutil.copyfile(source, staging / name)
                        _sync(staging / name)
                        files[name] = sha256(staging / name)
                draft = manifest(version, {**files, CARD_FILE: "0" * 64})
                _write_synced(staging / CARD_FILE, card(draft).encode())
                files[CARD_FILE] = sha256(staging / CARD_FILE)
                final = manifest(version, files)
                _write_synced(staging / MANIFEST_FILE, final.model_dump_json(indent=1).encode() + b"\n")
                _sync(staging)
                check(staging)
                if key is not None:
                    sign(staging, key)
                staging.rename(folder / str(version))
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                raise
            _sync(folder)
        return final

    def _family(self, family: str) -> Path:
        if not _FAMILY.fullmatch(family):
            raise InvalidName(f"A family is named {_FAMILY.pattern}. Received: {family[:80]!r}.")
        return self.root / family


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
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InvalidArtifact(
            f"An artifact has a complete {MANIFEST_FILE}. Received: {folder}, where {where}: {first['msg']}."
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
    place = f"{folder.parent.name}@{folder.name.removeprefix(_STAGING_PREFIX)}"
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
    _write_synced(temporary, key.sign(data))
    temporary.replace(folder / SIGNATURE_FILE)
    _sync(folder)
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


def _is_real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _read_regular(path: Path, *, limit: int | None) -> bytes:
    """Read a file that is neither a link nor a device, so that an artifact cannot point out of its folder."""
    try:
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and (limit is None or status.st_size <= limit):
            return path.read_bytes()
    except OSError:
        pass
    raise InvalidArtifact(f"An artifact is made of regular, readable files. Received: {path}, which is not one.")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the family's lock, so that two publishers take turns. The kernel frees it if its holder dies."""
    with (folder / _LOCK_FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def replace_synced(path: Path, data: bytes) -> None:
    """Write a file in one step: whoever reads it finds the old content or the new, whenever the power goes."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        _write_synced(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _write_synced(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
