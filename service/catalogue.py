"""The store -> registries: what is to be loaded now, loaded once, and the last good version where that fails."""

from pathlib import Path

from model_store.detector import Detector
from model_store.errors import StoreError
from model_store.labels import Labelled, read_labels
from model_store.manifest import CARD_FILE
from model_store.signatures import TrustedKeys
from model_store.store import Store
from service.registry import Entry, Loaded, Registry, Shared
from service.settings import Settings
from service.telemetry import Telemetry, log

_Signature = frozenset[tuple[str, int, int, int]]


class Catalogue:
    """Looks at the store. For one thread at a time."""

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._store = Store(settings.store)
        self._loaded: dict[Path, Loaded] = {}
        self._failed: dict[Path, _Signature] = {}  # as it was when it could not be loaded
        self._entries: dict[str, Entry] = {}
        self._behind: list[str] = []
        self._registry: Registry | None = None

    def refresh(self, *, again: bool = False) -> Registry:
        """What the store asks for, loaded and warm; the same registry as before if nothing changed.

        A version that could not be loaded is tried again when its files have changed, or if `again`. Until it can be,
        what was loaded for its name stays.

        Raises
        ------
        model_store.errors.StoreError
            A configured name has nothing yet, and what it means cannot be believed.
        """
        if again:
            self._failed.clear()
        known_behind, self._behind = self._behind, []
        entries = {name: self._entry(name) for name in dict.fromkeys(self._settings.models)}
        changed = entries != self._entries or self._behind != known_behind
        self._entries = entries
        used = {id(model) for entry in entries.values() for _, model, _ in entry.roles()}
        self._loaded = {folder: model for folder, model in self._loaded.items() if id(model) in used}
        if changed or self._registry is None:
            self._registry = Registry(list(entries.values()), list(self._behind))
        return self._registry

    def _entry(self, name: str) -> Entry:
        before = self._entries.get(name)
        try:
            folder = self._store.resolve(name)
        except (StoreError, OSError) as error:
            if before is None:
                raise
            self._cannot(name, error)
            return before
        stable = self._load(folder, needed=before is None)
        if stable is None:
            if before is None:  # it was needed, and has raised
                raise StoreError(f"A configured model can be loaded. Received: {name}.")
            stable = before.stable
        if "@" in name:
            return Entry(stable)
        try:
            labels = read_labels(self._store, name)
        except (StoreError, OSError) as error:
            self._cannot(f"{name}'s labels", error)
            return Entry(stable, before.canary, before.shadow) if before else Entry(stable)
        return Entry(stable, self._shared(name, labels.canary), self._shared(name, labels.shadow))

    def _shared(self, family: str, labelled: Labelled | None) -> Shared | None:
        """A labelled version; none if it cannot be loaded: its share is the stable one's then."""
        if labelled is None:
            return None
        name = f"{family}@{labelled.version}"
        try:
            model = self._load(self._store.resolve(name), needed=False)
        except (StoreError, OSError) as error:
            self._cannot(name, error)
            return None
        return Shared(model, labelled.share) if model else None

    def _load(self, folder: Path, *, needed: bool) -> Loaded | None:
        """A version, loaded unless it is; None, and said, if it cannot be and is not needed."""
        if folder in self._loaded:
            return self._loaded[folder]
        name, signature = f"{folder.parent.name}@{folder.name}", _signature(folder)
        if self._failed.get(folder) == signature:
            self._behind.append(name)
            return None
        try:
            keys = self._settings.signing_keys  # read anew, as they may be others by now
            detector = Detector.load(
                folder,
                runtime=self._settings.runtime,
                callers=self._settings.threads,
                trusted=TrustedKeys.read(keys) if keys else None,
            )
            model = Loaded(detector, (folder / CARD_FILE).read_text(encoding="utf-8"))
        except Exception as error:  # a card that is not UTF-8, no memory: whatever it is, what serves goes on
            if needed:
                raise
            self._failed[folder] = signature
            self._telemetry.loads.labels("failed").inc()
            self._cannot(name, error)
            return None
        self._failed.pop(folder, None)
        self._telemetry.loads.labels("loaded").inc()
        self._loaded[folder] = model
        return model

    def _cannot(self, name: str, error: Exception) -> None:
        self._behind.append(name)
        known = self._registry is not None and name in self._registry.behind
        log.log(
            10 if known else 40,  # an error once, and not at every look
            "what the store asks for cannot be loaded, what was there before serves on: %s",
            error,
            extra={"model": name},
            exc_info=None if isinstance(error, StoreError | OSError) else error,
        )


def _signature(folder: Path) -> _Signature:
    """What changes when any file of a version does."""
    try:
        found = [(path.name, path.lstat()) for path in folder.iterdir()]
    except OSError:
        return frozenset()
    return frozenset((name, status.st_mtime_ns, status.st_size, status.st_ino) for name, status in found)
