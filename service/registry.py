"""What is loaded: detectors by the names that requests use."""

from dataclasses import dataclass

from model_store.detector import Detector
from model_store.manifest import CARD_FILE
from model_store.signatures import TrustedKeys
from model_store.store import Store
from service.problems import ProblemError
from service.settings import Settings
from service.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Loaded:
    """A detector and the card that came with it."""

    detector: Detector
    card: str


class Registry:
    """The detectors of a configuration, in its order: the first is the default."""

    def __init__(self, loaded: list[Loaded]) -> None:
        self._by_name = {item.detector.manifest.name: item for item in loaded}

    @classmethod
    def load(cls, settings: Settings, telemetry: Telemetry) -> "Registry":
        """Load and warm every configured model.

        Raises
        ------
        model_store.errors.StoreError
            Naming the first that cannot be believed.
        """
        store = Store(settings.store)
        trusted = TrustedKeys.read(settings.signing_keys) if settings.signing_keys else None
        folders = dict.fromkeys(store.resolve(name) for name in settings.models)  # in order, each once
        loaded = []
        for folder in folders:
            detector = Detector.load(folder, runtime=settings.runtime, threads=settings.threads, trusted=trusted)
            loaded.append(Loaded(detector, (folder / CARD_FILE).read_text(encoding="utf-8")))
            telemetry.loaded(detector.manifest)
        return cls(loaded)

    def all(self) -> list[Loaded]:
        """Everything loaded; the default first."""
        return list(self._by_name.values())

    def get(self, name: str | None) -> Loaded:
        """The model that a request names: ``family@version``, ``family``, or the default.

        Raises
        ------
        ProblemError
            ``unknown_model``
        """
        for full_name, item in self._by_name.items():
            if name in (None, full_name, item.detector.manifest.family):
                return item
        raise ProblemError(
            "unknown_model",
            f"The models loaded are {', '.join(self._by_name)}. Received: {str(name)[:80]!r}.",
        )
