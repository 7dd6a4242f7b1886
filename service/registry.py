"""What is loaded: detectors by the names that requests use. A registry never changes; another takes its place."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from model_store.detector import Detector
from service.problems import ProblemError

Role = Literal["stable", "canary", "shadow"]
ROLES: tuple[Role, ...] = ("stable", "canary", "shadow")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A detector and the card that came with it."""

    detector: Detector
    card: str

    @property
    def name(self) -> str:
        """``family@version``"""
        return self.detector.manifest.name


@dataclass(frozen=True, slots=True)
class Shared:
    """A version that has a share of its family's requests."""

    model: Loaded
    share: float


@dataclass(frozen=True, slots=True)
class Entry:
    """What a configured name means. Only of a family, not of a version, there is more than the stable one."""

    stable: Loaded
    canary: Shared | None = None
    shadow: Shared | None = None

    @property
    def family(self) -> str:
        """That the name is of."""
        return self.stable.detector.manifest.family

    def roles(self) -> Iterator[tuple[Role, Loaded, float]]:
        """Each version, what it is for, and its share of the requests for the family."""
        taken = self.canary.share if self.canary else 0.0
        yield "stable", self.stable, 1.0 - taken
        if self.canary:
            yield "canary", self.canary.model, taken
        if self.shadow:
            yield "shadow", self.shadow.model, self.shadow.share

    def pick(self, request_id: str) -> Loaded:
        """The version for a request: the canary for its share, by a hash of the id, so that a repeat gets it again."""
        canary = self.canary
        return canary.model if canary and falls_within(canary.share, "canary", request_id) else self.stable


@dataclass(frozen=True, slots=True)
class Registry:
    """The entries of a configuration, in its order: the first is the default.

    Parameters
    ----------
    behind : what the store asks for and cannot be loaded, so that what was there before serves on
    """

    entries: Sequence[Entry]
    behind: Sequence[str] = field(default=())

    def roles(self) -> list[tuple[Role, Loaded, float]]:
        """Everything loaded, each version once: the stable ones first, as configured."""
        found: dict[str, tuple[Role, Loaded, float]] = {}
        for wanted in ROLES:
            for role, model, share in (each for entry in self.entries for each in entry.roles()):
                if role == wanted:
                    found.setdefault(model.name, (role, model, share))
        return list(found.values())

    def get(self, name: str | None, *, request_id: str = "") -> Loaded:
        """The model that a request names: ``family@version``, ``family``, ``family@stable``, ``family@canary`` or the
        default.

        Raises
        ------
        ProblemError
            ``unknown_model``
        """
        for entry in self.entries:
            if name in (None, entry.family):
                return entry.pick(request_id)
            for role, model, _ in entry.roles():
                if role != "shadow" and name in (model.name, f"{entry.family}@{role}"):
                    return model
        names = [model.name for role, model, _ in self.roles() if role != "shadow"]
        raise ProblemError("unknown_model", f"The models loaded are {', '.join(names)}. Received: {str(name)[:80]!r}.")

    def shadow_of(self, model: Loaded, *, request_id: str) -> Loaded | None:
        """The version that is to be scored in silence beside the one that answers a request, if any."""
        for entry in self.entries:
            shadow = entry.shadow
            answers = entry.stable is model or (entry.canary is not None and entry.canary.model is model)
            if shadow and answers and falls_within(shadow.share, "shadow", request_id):
                return shadow.model
        return None


def falls_within(share: float, label: Role, request_id: str) -> bool:
    """Whether a request is of the share of a label: of the same id, always or never, and of each label anew."""
    digest = hashlib.blake2b(f"{label} {request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64
