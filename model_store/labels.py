"""canary and shadow: versions of a family beside the one that it means, which is the stable one.

A canary answers a share of the requests for its family. A shadow is scored on a share of them too, and answers none.
Both stand in one file, ``<family>/labels.json``, replaced in one step.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_store.durable import locked, replace_synced
from model_store.errors import InvalidName, NotFound, first_fault
from model_store.store import Store

Label = Literal["canary", "shadow"]

LABELS_FILE = "labels.json"
_LABELS_BYTES = 4_096
_CONFIG = ConfigDict(frozen=True, extra="forbid", strict=True)


class Labelled(BaseModel):
    """A version, and the share of its family's requests that it is given."""

    model_config = _CONFIG

    version: int = Field(ge=1, lt=10**9)
    share: Annotated[float, Field(gt=0, le=1)]


class Labels(BaseModel):
    """The labels of a family."""

    model_config = _CONFIG

    canary: Labelled | None = None
    shadow: Labelled | None = None


def read_labels(store: Store, family: str) -> Labels:
    """The labels of a family; none if it has no file.

    Raises
    ------
    InvalidName
        The file is not one of labels.
    """
    path = _path(store, family)
    try:
        with path.open("rb") as file:
            data = file.read(_LABELS_BYTES)
            whole = not file.read(1)
    except FileNotFoundError:
        return Labels()
    try:
        return Labels.model_validate_json(data if whole else b"")
    except ValidationError as error:
        fault = first_fault(error, document="the document")
        raise InvalidName(
            f"{LABELS_FILE} has a version and a share for a label. Received: that of {family}, where {fault}."
        ) from None


def set_label(store: Store, label: Label, name: str, *, share: float) -> None:
    """Label ``family@version``, in place of what had the label.

    Raises
    ------
    InvalidName, NotFound
        There is no such version; the family is not pinned, so that a new version would answer every request; it is
        pinned to this very version; or the share is none.
    """
    folder = store.resolve(name)
    family, version = folder.parent.name, int(folder.name)
    if not 0 < share <= 1:
        raise InvalidName(f"A share is above 0 and at most 1. Received: {share}.")
    if store.pinned(family) in (None, version):
        raise InvalidName(
            f"A {label} is beside the version that its family is pinned to. Received: {name}, and {family} is "
            f"{'pinned to it' if store.pinned(family) else 'not pinned'}."
        )
    _change(store, family, label, Labelled(version=version, share=share))


def remove_label(store: Store, label: Label, family: str) -> None:
    """Take a label away, if any version has it."""
    _change(store, family, label, None)


def promote(store: Store, family: str) -> int:
    """Pin the canary, and then take its label away; the version.

    Raises
    ------
    NotFound
        There is no canary.
    InvalidArtifact
        It does not verify.
    """
    canary = read_labels(store, family).canary
    if canary is None:
        raise NotFound(f"What is promoted is a canary. Received: {family}, which has none.")
    store.pin(family, canary.version)
    remove_label(store, "canary", family)
    return canary.version


def _change(store: Store, family: str, label: Label, labelled: Labelled | None) -> None:
    with locked(store.folder(family)):
        try:
            labels = read_labels(store, family)
        except InvalidName:  # the file is broken, and says nothing that could be kept
            labels = Labels()
        changed = labels.model_copy(update={label: labelled})
        replace_synced(_path(store, family), changed.model_dump_json(exclude_none=True).encode() + b"\n")


def _path(store: Store, family: str) -> Path:
    return store.folder(family) / LABELS_FILE
