"""Artifacts on disk: ``<root>/<family>/<integer version>/{model.keras, card.md, manifest.json}``, with
model.onnx where it was published, and manifest.sig where it was signed.

What is on disk is one thing, what a process has loaded another; this module is about the disk. A published
version is never edited. Publishing makes a hidden folder beside the versions, syncs it to the disk, checks it
and renames it: a version is there whole or not at all, whenever the power goes. A pin is a file with a number in
it that says which version ``family`` means; without one it means the newest.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from model_store.artifact import STAGING_PREFIX, private_copy, read_manifest, sha256, sign, verify
from model_store.durable import locked, replace_synced, sync, write_synced
from model_store.errors import InvalidName, NotFound
from model_store.manifest import CARD_FILE, MANIFEST_FILE, MODEL_FILE, ONNX_FILE, Manifest
from model_store.signatures import SigningKey

__all__ = ["DEFAULT_ROOT", "Store", "private_copy", "read_manifest", "sha256", "sign", "verify"]

DEFAULT_ROOT = Path(__file__).parent / "pretrained"

_FAMILY = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_PIN_FILE = "pinned"


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
        """The families that have a version, or cannot be read, in alphabetical order."""

        def counts(name: str) -> bool:
            try:
                return bool(self.versions(name))
            except OSError:
                return True

        names = [p.name for p in self.root.iterdir()] if self.root.is_dir() else []
        return sorted(name for name in names if _FAMILY.fullmatch(name) and counts(name))

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

    def folder(self, family: str) -> Path:
        """The folder of a family that has a version, whatever it is pinned to.

        Raises
        ------
        InvalidName, NotFound
        """
        if not self.versions(family):
            raise NotFound(f"The store has the families {self.families()}. Received: {family!r}.")
        return self._family(family)

    def resolve(self, name: str) -> Path:
        """The folder of ``family@version``, or of what ``family`` means: its pinned, else its newest version.

        Raises
        ------
        InvalidName, NotFound
        """
        family, at, text = name.partition("@")
        folder, versions = self.folder(family), self.versions(family)
        if at and not _VERSION.fullmatch(text):
            raise InvalidName(f"A version is a positive integer. Received: {text[:40]!r}.")
        version = int(text) if at else self.pinned(family) or versions[-1]
        if version not in versions:
            pinned = "" if at else ", to which it is pinned"
            raise NotFound(f"{family} has the versions {versions}. Received: {version}{pinned}.")
        return folder / str(version)

    def pin(self, family: str, version: int) -> None:
        """Make ``family`` mean `version` from now on, in one step, if that verifies.

        Raises
        ------
        InvalidName, NotFound, InvalidArtifact
        """
        folder = self.resolve(f"{family}@{version}")
        verify(folder)
        replace_synced(folder.parent / _PIN_FILE, f"{version}\n".encode())

    def unpin(self, family: str) -> None:
        """Make ``family`` mean its newest version again, if that verifies.

        Raises
        ------
        InvalidName, NotFound, InvalidArtifact
        """
        folder = self.folder(family)
        verify(folder / str(self.versions(family)[-1]))
        (folder / _PIN_FILE).unlink(missing_ok=True)
        sync(folder)

    def rollback(self, family: str) -> int:
        """Pin the version before the one that ``family`` means now, even if that is gone, and return it.

        Raises
        ------
        NotFound
            There is none before.
        InvalidArtifact
            It does not verify.
        """
        self.folder(family)
        versions = self.versions(family)
        current = self.pinned(family) or versions[-1]
        earlier = [version for version in versions if version < current]
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
            for abandoned in folder.glob(f"{STAGING_PREFIX}*"):
                shutil.rmtree(abandoned)
            version = max(self.versions(family), default=0) + 1
            staging = folder / f"{STAGING_PREFIX}{version}"
            staging.mkdir()
            try:
                files = {}
                for name, source in {MODEL_FILE: model, ONNX_FILE: onnx}.items():
                    if source is not None:
                        shutil.copyfile(source, staging / name)
                        sync(staging / name)
                        files[name] = sha256(staging / name)
                draft = manifest(version, {**files, CARD_FILE: "0" * 64})
                write_synced(staging / CARD_FILE, card(draft).encode())
                files[CARD_FILE] = sha256(staging / CARD_FILE)
                final = manifest(version, files)
                write_synced(staging / MANIFEST_FILE, final.model_dump_json(indent=1).encode() + b"\n")
                sync(staging)
                check(staging)
                if key is not None:
                    sign(staging, key)
                staging.rename(folder / str(version))
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                raise
            sync(folder)
        return final

    def _family(self, family: str) -> Path:
        if not _FAMILY.fullmatch(family):
            raise InvalidName(f"A family is named {_FAMILY.pattern}. Received: {family[:80]!r}.")
        return self.root / family


def _is_real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
