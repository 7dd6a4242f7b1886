"""A run -> a manifest that is complete but for what has to be measured."""

import json
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import keras
import tensorflow as tf

from model_store import manifest as m
from model_store import windows
from model_store.channel_class import CHANNEL_CLASSES
from training.config import Config
from training.corpus import attacks, read_partition
from training.train import CORPORA_FILE

PROBE_SEED = 2019
PROBE_TOLERANCE = 1e-3
POLICY = m.Policy(min_speech_seconds=0.5, max_clipped_fraction=0.03, min_bandwidth_hz=600.0)


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """A corpus that a run learned from."""

    name: str
    path: Path
    protocols: dict[str, str]


def trained_on(run: Path) -> list[TrainedOn]:
    """The corpora that a run learned from or watched."""
    corpora = json.loads((run / CORPORA_FILE).read_text())
    return [TrainedOn(c["name"], Path(c["path"]), c["protocols"]) for c in corpora]


def learned_attacks(corpora: list[TrainedOn]) -> set[str]:
    """The attacks of their train partitions."""
    return {a for c in corpora if "train" in c.protocols for a in attacks(read_partition(c.path, "train"))}


def draft_manifest(config: Config, corpora: list[TrainedOn], licences: dict[str, str]) -> m.Manifest:
    """A manifest that is complete but for what has to be measured: it lets logits through as scores."""
    point = m.OperatingPoint(
        threshold=0.0,
        false_accept_rate=1.0,
        false_accept_interval=[0.0, 1.0],
        false_reject_rate=1.0,
        false_reject_interval=[0.0, 1.0],
        measured_on="nothing",
    )
    return m.Manifest(
        schema_version=2,
        family=config.name,
        version=1,
        created=datetime.now(UTC).replace(microsecond=0),
        commit=_commit(),
        keras=keras.__version__,
        tensorflow=tf.__version__,
        files={m.MODEL_FILE: "0" * 64, m.CARD_FILE: "0" * 64},
        input=m.Input(
            sample_rate=config.input.sample_rate,
            window_samples=config.input.window_samples,
            hop_samples=config.input.hop_samples,
            fill="repeat",
            trim_below_db=windows.TRIM_BELOW_DB,
        ),
        output=m.Output(
            convention="higher is bonafide",
            pooling=config.pooling,
            calibration=dict.fromkeys(CHANNEL_CLASSES, m.Calibration(slope=1.0, intercept=0.0, fitted_on="nothing")),
            operating_points=dict.fromkeys(("low_friction", "balanced", "high_security"), point),
            policy=POLICY,
        ),
        probe=m.Probe(seed=PROBE_SEED, logit=0.0, tolerance=PROBE_TOLERANCE),
        data=[
            m.Corpus(name=c.name, licence=licences.get(c.name, "not stated"), protocols=c.protocols) for c in corpora
        ],
        training=config.model_dump(mode="json"),
        metrics={},
    )


def _commit() -> str:
    """The commit of this code, marked where the working tree differs from it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or "unknown"
