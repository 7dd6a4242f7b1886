"""Artifacts made by hand: everything but a model. For tests of what happens before Keras opens anything."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from model_store import manifest as m
from model_store.channel_class import CHANNEL_CLASSES
from model_store.store import Store


def manifest(version: int, files: dict[str, str], *, family: str = "tiny") -> m.Manifest:
    """A complete manifest."""
    points = {
        name: m.OperatingPoint(
            threshold=t,
            false_accept_rate=0.1,
            false_accept_interval=[0.0, 0.3],
            false_reject_rate=0.1,
            false_reject_interval=[0.0, 0.3],
            measured_on="nothing",
        )
        for name, t in (("low_friction", -1.0), ("balanced", 0.0), ("high_security", 1.0))
    }
    return m.Manifest(
        schema_version=2,
        family=family,
        version=version,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        commit="unknown",
        keras="3.15.1",
        tensorflow="2.21.0",
        files=files,
        input=m.Input(sample_rate=16_000, window_samples=16_000, hop_samples=8_000, fill="repeat", trim_below_db=35.0),
        output=m.Output(
            convention="higher is bonafide",
            pooling="speech_weighted_mean",
            calibration=dict.fromkeys(CHANNEL_CLASSES, m.Calibration(slope=1.0, intercept=0.0, fitted_on="nothing")),
            operating_points=points,
            policy=m.Policy(min_speech_seconds=0.5, max_clipped_fraction=0.05, min_bandwidth_hz=600.0),
        ),
        probe=m.Probe(seed=1, logit=0.0, tolerance=1e-3),
        data=[],
        training={},
        metrics={},
    )


def publish(root: Path, *, family: str = "tiny", content: bytes = b"not a model") -> m.Manifest:
    """Publish `content` as the next version of `family`, unchecked."""
    model = root.parent / "model-to-publish"
    model.write_bytes(content)
    return Store(root).publish(
        model=model,
        card=lambda draft: f"# {draft.name}\n",
        manifest=lambda version, files: manifest(version, files, family=family),
        check=lambda folder: None,
    )


def copy_version(root: Path, source: str, target: str) -> Path:
    """Put a published version under another name in the same store: ``family@version``, both."""
    (family, _, version), (new_family, _, new_version) = source.partition("@"), target.partition("@")
    folder = Path(shutil.copytree(root / family / version, root / new_family / new_version))
    path = folder / "manifest.json"
    changed = json.loads(path.read_text()) | {"family": new_family, "version": int(new_version)}
    path.write_text(json.dumps(changed))
    return folder
