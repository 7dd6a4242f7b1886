"""What the store asks for and what is loaded: versions, labels, and every way in which a store can be broken."""

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from model_store.detector import Detector
from model_store.errors import InvalidArtifact, StoreError
from model_store.labels import LABELS_FILE, remove_label, set_label
from model_store.store import Store, verify
from service.catalogue import Catalogue
from service.problems import ProblemError
from service.registry import Entry, Loaded, Registry, Shared, falls_within
from service.settings import Settings
from service.telemetry import Telemetry
from tests.artifacts import publish


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions that are loaded from now on: verified as ever, and opened by nobody."""
    found: list[str] = []

    def load(folder: Path, **_: object) -> Detector:
        manifest = verify(folder)
        found.append(manifest.name)
        return cast(Detector, SimpleNamespace(manifest=manifest))

    monkeypatch.setattr(Detector, "load", load)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    publish(tmp_path / "store")
    return tmp_path / "store"


def catalogue(root: Path, models: str = "tiny") -> Catalogue:
    return Catalogue(Settings(store=root, models=models), Telemetry())


def serves(registry: Registry) -> list[str]:
    return [f"{role} {model.name} {share:g}" for role, model, share in registry.roles()]


def test_a_new_version_a_pin_and_a_rollback_are_followed(root: Path, loads: list[str]) -> None:
    found = catalogue(root)
    first = found.refresh()
    assert serves(first) == ["stable tiny@1 1"]
    assert found.refresh() is first
    publish(root)
    assert serves(found.refresh()) == ["stable tiny@2 1"]
    assert serves(first) == ["stable tiny@1 1"]  # as whoever is served by it sees it
    Store(root).rollback("tiny")
    assert serves(found.refresh()) == ["stable tiny@1 1"]
    assert loads == ["tiny@1", "tiny@2", "tiny@1"]


def test_a_version_that_is_named_stays(root: Path, loads: list[str]) -> None:
    found = catalogue(root, "tiny@1, tiny")
    found.refresh()
    publish(root)
    registry = found.refresh()
    assert serves(registry) == ["stable tiny@1 1", "stable tiny@2 1"]
    assert registry.get("tiny").name == registry.get(None).name == "tiny@1"  # the first of the family
    assert registry.get("tiny@2").name == "tiny@2"
    assert loads == ["tiny@1", "tiny@2"]


def test_a_version_that_is_named_has_no_labels(root: Path, loads: list[str]) -> None:
    Store(root).pin("tiny", 1)
    publish(root)
    set_label(Store(root), "canary", "tiny@2", share=0.5)
    registry = catalogue(root, "tiny@1").refresh()
    assert (serves(registry), registry.behind) == (["stable tiny@1 1"], [])


def test_labels_are_followed(root: Path, loads: list[str]) -> None:
    store, found = Store(root), catalogue(root)
    found.refresh()
    store.pin("tiny", 1)
    for _ in range(2):
        publish(root)
    set_label(store, "canary", "tiny@2", share=0.25)
    set_label(store, "shadow", "tiny@3", share=0.5)
    registry = found.refresh()
    assert serves(registry) == ["stable tiny@1 0.75", "canary tiny@2 0.25", "shadow tiny@3 0.5"]
    assert registry.get("tiny@canary").name == registry.get("tiny@2").name == "tiny@2"
    assert registry.get("tiny@stable").name == "tiny@1"
    for hidden in ("tiny@3", "tiny@shadow"):
        with pytest.raises(ProblemError, match=r"The models loaded are tiny@1, tiny@2\. Received"):
            registry.get(hidden)
    remove_label(store, "canary", "tiny")
    assert serves(found.refresh()) == ["stable tiny@1 1", "shadow tiny@3 0.5"]
    assert loads == ["tiny@1", "tiny@2", "tiny@3"]


def truncated(folder: Path) -> None:
    (folder / "model.keras").write_bytes(b"not a")


def half_copied(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def flipped(folder: Path) -> None:
    (folder / "card.md").write_bytes(b"# tinz@2\n")


def linked(folder: Path) -> None:
    outside = folder.parent.parent / "elsewhere"
    shutil.move(folder / "model.keras", outside)
    (folder / "model.keras").symlink_to(outside)


@pytest.mark.parametrize("fault", [truncated, half_copied, flipped, linked])
def test_a_broken_version_leaves_the_last_good_one(
    root: Path, loads: list[str], caplog: pytest.LogCaptureFixture, fault: Any
) -> None:
    found = catalogue(root)
    found.refresh()
    whole = root.parent / "whole"
    publish(root)
    shutil.copytree(root / "tiny" / "2", whole)
    fault(root / "tiny" / "2")
    caplog.set_level(logging.ERROR, logger="bonafide")
    registry = found.refresh()
    assert (serves(registry), registry.behind) == (["stable tiny@1 1"], ["tiny@2"])
    assert found.refresh() is registry
    assert len(caplog.records) == 1  # said once, and tried once
    assert "was there before serves on: An artifact" in caplog.text or "Each file of an artifact" in caplog.text
    shutil.rmtree(root / "tiny" / "2")
    shutil.copytree(whole, root / "tiny" / "2")  # made whole
    registry = found.refresh()
    assert (serves(registry), registry.behind) == (["stable tiny@2 1"], [])


def test_a_store_that_is_gone_leaves_the_last_good_version(root: Path, loads: list[str]) -> None:
    found = catalogue(root)
    found.refresh()
    root.rename(root.parent / "gone")
    registry = found.refresh()
    assert (serves(registry), registry.behind) == (["stable tiny@1 1"], ["tiny"])
    (root.parent / "gone").rename(root)
    assert found.refresh().behind == []
    assert loads == ["tiny@1"]


def test_a_publish_onto_a_full_disk_changes_nothing(
    root: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = catalogue(root)
    before = found.refresh()
    usual = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        usual(source, target)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        publish(root)
    assert found.refresh() is before
    monkeypatch.undo()
    publish(root)
    Store(root).pin("tiny", 2)  # as it can be: nothing is in the way


def test_a_pin_or_labels_that_are_broken_change_nothing(root: Path, loads: list[str]) -> None:
    store, found = Store(root), catalogue(root)
    store.pin("tiny", 1)
    publish(root)
    set_label(store, "canary", "tiny@2", share=0.5)
    before = serves(found.refresh())
    (root / "tiny" / LABELS_FILE).write_text('{"canary": {"ver')
    registry = found.refresh()
    assert (serves(registry), registry.behind) == (before, ["tiny's labels"])
    (root / "tiny" / LABELS_FILE).unlink()
    (root / "tiny" / "pinned").write_text("../2")
    registry = found.refresh()
    assert (serves(registry), registry.behind) == (before, ["tiny"])
    (root / "tiny" / "pinned").unlink()
    assert serves(found.refresh()) == ["stable tiny@2 1"]


def test_a_canary_that_cannot_be_loaded_gives_its_share_back(root: Path, loads: list[str]) -> None:
    store, found = Store(root), catalogue(root)
    store.pin("tiny", 1)
    publish(root)
    set_label(store, "canary", "tiny@2", share=0.5)
    for fault in (truncated, shutil.rmtree):
        fault(root / "tiny" / "2")
        registry = found.refresh()
        assert (serves(registry), registry.behind) == (["stable tiny@1 1"], ["tiny@2"])


def test_what_nobody_foresaw_is_told_too(
    root: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = catalogue(root)
    found.refresh()
    publish(root)

    def fails(folder: Path, **_: object) -> Detector:
        loads.append(folder.name)
        raise MemoryError

    monkeypatch.setattr(Detector, "load", fails)
    for _ in range(2):
        registry = found.refresh()
        assert (serves(registry), registry.behind) == (["stable tiny@1 1"], ["tiny@2"])
    assert loads == ["tiny@1", "2"]  # and not at every look
    [told] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told.exc_info is not None  # since no sentence says it all


def test_what_was_told_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch, loads: list[str]) -> None:
    found = catalogue(root)
    found.refresh()
    publish(root)
    usual = Detector.load

    def fails(folder: Path, **_: object) -> Detector:
        raise InvalidArtifact("It opens. Received: a machine without memory.")

    monkeypatch.setattr(Detector, "load", fails)
    assert found.refresh().behind == ["tiny@2"]
    monkeypatch.setattr(Detector, "load", usual)
    assert found.refresh().behind == ["tiny@2"]  # its files are as they were
    assert found.refresh(again=True).behind == []


def test_at_the_start_there_is_no_last_good_version(root: Path, loads: list[str]) -> None:
    truncated(root / "tiny" / "1")
    with pytest.raises(StoreError, match="SHA-256"):
        catalogue(root).refresh()
    with pytest.raises(StoreError, match="has the families"):
        catalogue(root.parent / "nowhere").refresh()


# Registries


def model(name: str) -> Loaded:
    family, _, version = name.partition("@")
    manifest = SimpleNamespace(name=name, family=family, version=int(version))
    return Loaded(cast(Detector, SimpleNamespace(manifest=manifest)), "")


def test_a_share_of_requests_gets_the_canary_and_the_same_request_the_same() -> None:
    registry = Registry([Entry(model("a@1"), canary=Shared(model("a@2"), 0.2), shadow=Shared(model("a@3"), 0.5))])
    ids = [f"request-{n}" for n in range(4_000)]
    picked = [registry.get("a", request_id=each) for each in ids]
    assert [each.name for each in picked] == [registry.get(None, request_id=each).name for each in ids]
    canary = [each.name == "a@2" for each in picked]
    shadow = [registry.shadow_of(each, request_id=by) is not None for each, by in zip(picked, ids, strict=True)]
    assert sum(canary) / len(ids) == pytest.approx(0.2, abs=0.03)
    assert sum(shadow) / len(ids) == pytest.approx(0.5, abs=0.03)
    both = sum(one and other for one, other in zip(canary, shadow, strict=True)) / len(ids)
    assert both == pytest.approx(0.1, abs=0.03)  # the shares are not of the same requests


def test_shares_have_their_ends() -> None:
    assert all(falls_within(1.0, "canary", str(n)) for n in range(100))
    assert not any(falls_within(0.0, "canary", str(n)) for n in range(100))


def test_only_a_family_with_a_shadow_has_one() -> None:
    registry = Registry([Entry(model("a@1"), shadow=Shared(model("a@3"), 1.0)), Entry(model("b@1"))])
    assert registry.shadow_of(registry.get("b"), request_id="x") is None
    found = registry.shadow_of(registry.get("a"), request_id="x")
    assert found is not None
    assert found.name == "a@3"


def test_a_shadow_is_beside_the_canary_too() -> None:
    stable, canary, shadow = (model(f"a@{version}") for version in (1, 2, 3))
    registry = Registry([Entry(stable, canary=Shared(canary, 0.5), shadow=Shared(shadow, 1.0))])
    for answers, beside in ((stable, shadow), (canary, shadow), (shadow, None), (model("b@1"), None)):
        assert registry.shadow_of(answers, request_id="x") is beside
