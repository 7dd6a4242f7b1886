"""python -m training publish: a run -> an artifact in a store.

Between the two: dev is scored with the serving detector, the calibration and the operating points are fitted on it,
the figures are reported on eval, which nothing before this has looked at, an audit on dev has to pass the gate, and the
complete artifact has to load and answer its probe, in each runtime that it is for, before it gets its version.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from model_store import manifest as m
from model_store import windows
from model_store.channel_class import CHANNEL_CLASSES
from model_store.detector import Detector
from model_store.store import Store
from training import calibrate, gate
from training.card import GATE, HISTORY, by_corpus, card
from training.config import Config
from training.corpus import KEYS, Partition, attacks, protocol_path, read_partition
from training.fit import MODEL_FILE, read_history
from training.onnx_export import export
from training.score import score_utterances
from training.summary import summarise
from training.train import CORPORA_FILE
from training.trials import Trial

PROBE_SEED = 2019
PROBE_TOLERANCE = 1e-3
GATE_SEED = 0
ONNX_TOLERANCE = 1e-4  # of the logit of a clip, between the two runtimes; and of it besides,
ONNX_ROUNDING = 2e-6  # 16 units in the last place of float32, which only a logit far out has any of
# What dev and eval are heard through. The first are fitted on: what a bank's line carries. GSM and Opus at a low rate
# leave bonafide speech so much less of itself that a line fitted on them too would let spoofs through mu-law.
FITTED = ("original", "telephone", "narrowband")
CHANNELS = (*FITTED, "gsm", "opus")
POLICY = m.Policy(min_speech_seconds=0.5, max_clipped_fraction=0.03, min_bandwidth_hz=600.0)

Heard = dict[str, list[Trial]]


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """A corpus that a run learned from."""

    name: str
    path: Path
    protocols: dict[str, str]


def publish(
    run: Path,
    store: Path,
    *,
    licences: dict[str, str],
    limits: str = "",
    waiver: str | None = None,
    onnx: bool = True,
) -> m.Manifest:
    """Publish a run's model as the next version of its family, if it passes the gate (`training.gate`).

    Parameters
    ----------
    run : the folder that `train` made
    store : root of the store
    licences : corpus name -> what its licence allows, for the manifest and the card
    limits : Markdown for the card: what the model is known to get wrong
    waiver : why it is published although it does not pass; kept in the manifest and the card
    onnx : also for the onnx runtime

    Returns
    -------
    The manifest as published.

    Raises
    ------
    ValueError
        It does not pass the gate, and there is no waiver: a sentence for each limit that does not hold. Or the two
        runtimes do not agree on each clip of dev (`ONNX_TOLERANCE`).
    """
    config = Config.model_validate_json((run / "config.json").read_text())
    corpora = [
        TrainedOn(c["name"], Path(c["path"]), c["protocols"]) for c in json.loads((run / CORPORA_FILE).read_text())
    ]
    draft = draft_manifest(config, corpora, licences)
    model = run / MODEL_FILE
    detector = Detector.unverified(model, draft)
    probe = m.Probe(seed=PROBE_SEED, logit=detector.probe_logit(), tolerance=PROBE_TOLERANCE)

    learned = {a for c in corpora if "train" in c.protocols for a in attacks(read_partition(c.path, "train"))}
    dev = {c.name: hear(detector, c.path, "dev") for c in corpora if "dev" in c.protocols}
    output = fit_output(draft.output, dev, learned=learned)

    figures: dict[str, Any] = {HISTORY: read_history(run)}
    for c in corpora:
        heard: dict[Partition, Heard] = {"dev": dev[c.name]} if c.name in dev else {}
        if _has_eval(c.path):
            heard["eval"] = hear(detector, c.path, "eval")
        if heard:
            figures[c.name] = {
                partition: {channel: figures_of(logits, output) for channel, logits in by_channel.items()}
                for partition, by_channel in heard.items()
            }

    judged = _judge(Detector.unverified(model, draft.model_copy(update={"output": output})), corpora, figures)
    if judged["failures"] and waiver is None:
        raise ValueError("\n".join(["A model passes the gate. Received: one that does not.", *judged["failures"]]))
    figures[GATE] = judged | {"waiver": waiver}

    def manifest(version: int, files: dict[str, str]) -> m.Manifest:
        return draft.model_copy(
            update={"version": version, "files": files, "output": output, "probe": probe, "metrics": figures}
        )

    with tempfile.TemporaryDirectory() as folder:
        converted = export(model, Path(folder) / m.ONNX_FILE) if onnx else None
        if converted:
            other = Detector.unverified(converted, draft, runtime="onnx")
            for c in corpora:
                if c.name in dev:
                    agree(dev[c.name]["original"], score_utterances(other, read_partition(c.path, "dev")))
        return Store(store).publish(
            model=model,
            onnx=converted,
            manifest=manifest,
            card=lambda complete: card(complete, limits=limits),
            check=_check,
        )


def agree(expected: list[Trial], found: list[Trial]) -> None:
    """See that a model gives each clip the logit that it has in Keras.

    Raises
    ------
    ValueError
    """
    for one, other in zip(expected, found, strict=True):
        if not abs(one.score - other.score) <= ONNX_TOLERANCE + ONNX_ROUNDING * abs(one.score):
            raise ValueError(
                f"A clip has the same logit in either runtime, ± {ONNX_TOLERANCE:g}. "
                f"Received: {one.score:.6f} and {other.score:.6f} for {one.utterance}."
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--run", type=Path, required=True, help="the folder that train made")
    parser.add_argument("--store", type=Path, required=True, help="root of the store; made if it is not there")
    parser.add_argument(
        "--licence", action="append", default=[], metavar="CORPUS=TEXT", help="what a corpus' licence allows"
    )
    parser.add_argument("--no-gate", metavar="REASON", help="publish although it does not pass the gate, and say why")
    parser.add_argument(
        "--onnx", action=argparse.BooleanOptionalAction, default=True, help="also for the runtime without TensorFlow"
    )
    parser.add_argument("--limits", type=Path, help="Markdown for the card: what the model is known to get wrong")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    licences = dict(item.partition("=")[::2] for item in args.licence)
    limits = args.limits.read_text(encoding="utf-8") if args.limits else ""
    published = publish(args.run, args.store, licences=licences, limits=limits, waiver=args.no_gate, onnx=args.onnx)
    print(f"published {published.name}, {published.sha256[:12]}")
    return 0


def _judge(detector: Detector, corpora: list[TrainedOn], figures: dict[str, Any]) -> dict[str, Any]:
    """Audit on dev; of eval, what is reported anyway."""
    dev = [utterance for c in corpora if "dev" in c.protocols for utterance in read_partition(c.path, "dev")]
    evaluated = {
        name: partitions["eval"]["original"] for name, partitions in by_corpus(figures) if "eval" in partitions
    }
    return gate.release(detector, dev, seed=GATE_SEED, evaluated=evaluated)


def _check(folder: Path) -> None:
    """See that a complete artifact loads and answers its probe in each of its runtimes."""
    Detector.load(folder)
    if (folder / m.ONNX_FILE).exists():
        Detector.load(folder, runtime="onnx")


def hear(detector: Detector, corpus: Path, partition: Partition) -> Heard:
    """The logits of a partition by the channel that its clips went through, while `detector` has the draft's lines."""
    utterances = read_partition(corpus, partition)
    return {channel: score_utterances(detector, utterances, channel=channel) for channel in CHANNELS}


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


def figures_of(logits: list[Trial], output: m.Output) -> dict[str, Any]:
    """What the manifest keeps of a partition: the summary, and the errors at each operating point.

    These are means over attacks and over speakers, as the operating point's own are, and whether they lie within the
    intervals that it claims.
    """
    trials = calibrate.calibrated(logits, output.calibration)
    figures = summarise(trials)
    figures["operating_points"] = {}
    for name, point in output.operating_points.items():
        accepts, rejects = calibrate.mean_error_rates(trials, threshold=point.threshold)
        figures["operating_points"][name] = {
            "false_accept_percent": 100 * accepts,
            "false_accept_within": _within(accepts, point.false_accept_interval),
            "false_reject_percent": 100 * rejects,
            "false_reject_within": _within(rejects, point.false_reject_interval),
        }
    return figures


def _within(rate: float, interval: list[float]) -> bool:
    low, high = interval
    return low <= rate <= high


def fit_output(output: m.Output, dev: Mapping[str, Heard], *, learned: set[str]) -> m.Output:
    """An output with its calibration and its operating points, fitted on dev.

    Parameters
    ----------
    dev : corpus name -> logits by channel
    learned : the attacks that training has seen
    """
    trials = calibrate.unseen(
        [t for heard in dev.values() for channel in FITTED for t in heard[channel]], training_attacks=learned
    )
    description = _describe(list(dev), trials, learned)
    lines = calibrate.fit_lines(trials, fitted_on=description)
    points = calibrate.operating_points(trials, measured_on=description)
    return output.model_copy(update={"calibration": lines, "operating_points": points})


def _describe(names: list[str], trials: list[Trial], learned: set[str]) -> str:
    found = {t.attack for t in trials if t.attack}
    bonafide, spoofs = (len({t.utterance for t in trials if t.key == key}) for key in KEYS)
    relation = "also in training" if found & learned else "not in training"
    return (
        f"{' and '.join(names)}, dev, {' and '.join(FITTED)}: {bonafide} bonafide clips, {spoofs} spoofs of "
        f"{len(found)} attacks {relation}"
    )


def _has_eval(corpus: Path) -> bool:
    return protocol_path(corpus, "eval").exists()


def _commit() -> str:
    """The commit of this code, marked where the working tree differs from it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or "unknown"
