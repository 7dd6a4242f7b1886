"""What is loaded: two families, two versions, and which a request gets."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.store import Store, read_manifest
from tests.artifacts import copy_version
from tests.serving import Client, serving
from tests.signals import clip, speech

CLIP = clip(speech(seconds=1, sample_rate=8_000), sample_rate=8_000)


@pytest.fixture(scope="module")
def versions(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service of two versions of a family, the older one first; nothing tells them apart but their number."""
    root = tmp_path_factory.mktemp("versions") / "store"
    shutil.copytree(store, root)
    copy_version(root, "simple_cnn@1", "simple_cnn@2")
    with serving(root, models="simple_cnn@1, simple_cnn, other_cnn, simple_cnn@2") as client:
        yield client


def test_each_is_loaded_once_in_the_order_configured(versions: Client) -> None:
    models = versions.get("/models").json()["models"]
    assert [(model["family"], model["version"], model["default"]) for model in models] == [
        ("simple_cnn", 1, True),
        ("simple_cnn", 2, False),
        ("other_cnn", 1, False),
    ]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ("simple_cnn", 1)),
        ({"model": "simple_cnn"}, ("simple_cnn", 1)),
        ({"model": "simple_cnn@1"}, ("simple_cnn", 1)),
        ({"model": "simple_cnn@2"}, ("simple_cnn", 2)),
        ({"model": "other_cnn"}, ("other_cnn", 1)),
    ],
)
def test_a_request_gets_the_version_that_it_names(
    versions: Client, parameters: dict[str, str], expected: tuple[str, int]
) -> None:
    model = versions.post("/detect", content=CLIP, params=parameters).json()["model"]
    assert (model["family"], model["version"]) == expected


def test_a_listed_model_is_what_its_manifest_says(client: Client, store: Path) -> None:
    manifest = read_manifest(Store(store).resolve("other_cnn"))
    listed = client.get("/models").json()["models"][1]
    assert listed["sha256"] == manifest.sha256
    assert (listed["sample_rate_hz"], listed["window_seconds"]) == (16_000, 1.0)
    assert listed["operating_points"]["balanced"] == manifest.output.operating_points["balanced"].model_dump()
    assert listed["metrics"] == manifest.metrics


def test_a_model_is_shown_with_manifest_and_card(client: Client, store: Path) -> None:
    folder = Store(store).resolve("other_cnn")
    shown = client.get("/models/other_cnn/versions/1").json()
    assert shown["manifest"] == json.loads((folder / "manifest.json").read_text())
    assert shown["card"] == (folder / "card.md").read_text()
