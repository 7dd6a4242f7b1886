"""python -m training publish: a run -> an artifact in a store.

Between the two: clips that the model has not learned from are scored with the serving detector, the calibration and the
operating points are fitted on them, the figures are reported on eval, which chose neither weights nor calibration nor
thresholds, an audit and the calibration on eval have to pass the gate, and the complete artifact has to load and answer
its probe, in each runtime that it is for, before it gets its version.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model_store import manifest as m
from model_store.detector import Detector
from model_store.signatures import SigningKey
from model_store.store import Store
from training import gate
from training.card import GATE, HELD_OUT, HISTORY, by_corpus, card
from training.config import Config
from training.corpus import Partition, Utterance, protocol_path, read_not_speech, read_partition
from training.draft import PROBE_SEED, PROBE_TOLERANCE, TrainedOn, draft_manifest, learned_attacks, trained_on
from training.fit import MODEL_FILE, read_history
from training.onnx_export import export
from training.output import Heard, Judged, figures_of, fit_output, hear, pooled
from training.score import score_utterances
from training.trials import Trial

GATE_SEED = 0
# Of the logit of a clip, between the two runtimes. On 1,482 windows of openla dev, duo@1 is within 2.5e-5 of what
# float64 gives in Keras, within 1.0e-5 in ONNX Runtime, and the two are within 2.4e-5 of each other.
ONNX_TOLERANCE = 1e-4
ONNX_ROUNDING = 2e-6  # and of the logit besides: 16 units in the last place of float32, for one that is far out


def publish(
    run: Path,
    store: Path,
    *,
    held_out: Sequence[Path] = (),
    sounds: Path | None = None,
    licences: dict[str, str],
    limits: str = "",
    waiver: str | None = None,
    onnx: bool = True,
    key: SigningKey | None = None,
) -> m.Manifest:
    """Publish a run's model as the next version of its family, if it passes the gate (`training.gate`).

    Parameters
    ----------
    run : the folder that `train` made
    store : root of the store
    held_out : runs of the same recipe without some of the clips (`training.folds`); what they say of their dev counts
        with what the model says of its own, and of a clip that several held out, what the first of them says
    sounds : a corpus whose eval partition nobody spoke (`training/recipes/sounds.py`), for the gate
    licences : corpus name -> what its licence allows, for the manifest and the card
    limits : Markdown for the card: what the model is known to get wrong
    waiver : why it is published although it does not pass; kept in the manifest and the card if it does not
    onnx : also for the onnx runtime
    key : signs it

    Returns
    -------
    The manifest as published.

    Raises
    ------
    ValueError
        It does not pass the gate, and there is no waiver: a sentence for each limit that does not hold. Or the two
        runtimes do not agree on each clip (`ONNX_TOLERANCE`), or a held-out run is of another recipe, or began
        with, or learned from, what the published one did; or a licence is of no corpus of the run.
    """
    config = Config.model_validate_json((run / "config.json").read_text())
    corpora = trained_on(run)
    if unknown := licences.keys() - {c.name for c in corpora}:
        rule = f"A licence is of one of {', '.join(c.name for c in corpora)}, as CORPUS=TEXT"
        raise ValueError(f"{rule}. Received: one of {', '.join(sorted(unknown))}.")
    unspoken = read_not_speech(sounds) if sounds else []
    draft = draft_manifest(config, corpora, licences)
    model = run / MODEL_FILE
    detector = Detector.unverified(model, draft)
    probe = m.Probe(seed=PROBE_SEED, logit=detector.probe_logit(), tolerance=PROBE_TOLERANCE)

    learned = learned_attacks(corpora)
    dev = {c.name: hear(detector, c.path, "dev") for c in corpora if "dev" in c.protocols}
    folds = _each_clip_once([fold for other in held_out for fold in _fold(other, config, draft, besides=corpora)])
    output = fit_output(
        draft.output,
        [Judged(f"{name}, dev", heard, learned) for name, heard in dev.items()]
        + [Judged(f"{fold.name}, held out in turn", fold.heard, fold.learned) for fold in folds],
    )

    figures: dict[str, Any] = {HISTORY: read_history(run)}
    for c in corpora:
        heard: dict[str, Heard] = {"dev": dev[c.name]} if c.name in dev else {}
        if own := [fold.heard for fold in folds if fold.name == c.name]:
            heard[HELD_OUT] = pooled(own)
        if _has(c.path, "eval"):
            heard["eval"] = hear(detector, c.path, "eval")
        if heard:
            figures[c.name] = {
                partition: {channel: figures_of(logits, output) for channel, logits in by_channel.items()}
                for partition, by_channel in heard.items()
            }

    clips = [u for c in corpora if "dev" in c.protocols for u in read_partition(c.path, "dev")]
    clips += [u for fold in folds for u in fold.utterances]
    judged = gate.release(
        Detector.unverified(model, draft.model_copy(update={"output": output})),
        clips,
        seed=GATE_SEED,
        evaluated={name: found["eval"]["original"] for name, found in by_corpus(figures) if "eval" in found},
        sounds=unspoken,
    )
    if judged["failures"] and not (waiver and waiver.strip()):
        raise ValueError("\n".join(["A model passes the gate. Received: one that does not.", *judged["failures"]]))
    figures[GATE] = judged | {"waiver": waiver if judged["failures"] else None}

    def manifest(version: int, files: dict[str, str]) -> m.Manifest:
        return draft.model_copy(
            update={"version": version, "files": files, "output": output, "probe": probe, "metrics": figures}
        )

    with tempfile.TemporaryDirectory() as folder:
        converted = export(model, Path(folder) / m.ONNX_FILE) if onnx else None
        if converted:
            agree(
                *(
                    score_utterances(one, clips)
                    for one in (detector, Detector.unverified(converted, draft, runtime="onnx"))
                )
            )
        return Store(store).publish(
            model=model,
            onnx=converted,
            manifest=manifest,
            card=lambda complete: card(complete, limits=limits),
            check=_check,
            key=key,
        )


@dataclass(frozen=True, slots=True)
class Fold:
    """A corpus' held-out clips, and what a model that had not learned from them said of them."""

    name: str
    utterances: list[Utterance]
    heard: Heard
    learned: set[str]


def _fold(run: Path, config: Config, draft: m.Manifest, *, besides: Sequence[TrainedOn]) -> list[Fold]:
    """The dev partitions of a held-out run, but for those that the published run has too."""
    other = Config.model_validate_json((run / "config.json").read_text())
    if _recipe(other) != _recipe(config):
        raise ValueError(f"A held-out run is of the recipe of the published one. Received: {run}, which is not.")
    if shared := _taught_by(other) & _taught_by(config):
        raise ValueError(
            "A held-out run begins with, and learns from, no model that the published one does: it may have learned "
            f"the clips that are held out. Received: {run}, which shares {min(shared)} with it."
        )
    corpora = trained_on(run)
    detector = Detector.unverified(run / MODEL_FILE, draft)
    return [
        Fold(c.name, read_partition(c.path, "dev"), hear(detector, c.path, "dev"), learned_attacks(corpora))
        for c in corpora
        if "dev" in c.protocols and c not in besides
    ]


def _recipe(config: Config) -> Config:
    """All of it, and of what it is fused of, but for names and for the models begun with or learned from."""
    parts = tuple(_recipe(Config.model_validate(part)).model_dump(mode="json") for part in config.parts)
    return config.model_copy(update={"name": "any", "start": None, "teachers": (), "parts": parts})


def _taught_by(config: Config) -> set[str]:
    """SHA-256 of the models that a run, or one that it is fused of, began with or learned from."""
    own = {digest for digest in (config.start, *config.teachers) if digest is not None}
    return own.union(*(_taught_by(Config.model_validate(part)) for part in config.parts))


def _each_clip_once(folds: Sequence[Fold]) -> list[Fold]:
    """Folds without the clips that one before them has: two ways to deal a corpus out may hold out the same clips."""
    seen: set[tuple[str, str]] = set()  # corpus, utterance
    once = []
    for fold in folds:
        new = {u.id for u in fold.utterances if (fold.name, u.id) not in seen}
        heard = {channel: [t for t in trials if t.utterance in new] for channel, trials in fold.heard.items()}
        once.append(replace(fold, utterances=[u for u in fold.utterances if u.id in new], heard=heard))
        seen |= {(fold.name, name) for name in new}
    return once


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
        "--held-out",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="a run of the same recipe without some attacks and speakers, to calibrate on; repeat it",
    )
    parser.add_argument(
        "--sounds",
        type=Path,
        metavar="DIR",
        help="corpus whose eval partition nobody spoke, as training/recipes/sounds.py makes one, to be judged by too",
    )
    parser.add_argument(
        "--licence", action="append", default=[], metavar="CORPUS=TEXT", help="what a corpus' licence allows"
    )
    parser.add_argument("--no-gate", metavar="REASON", help="publish although it does not pass the gate, and say why")
    parser.add_argument(
        "--onnx", action=argparse.BooleanOptionalAction, default=True, help="also for the runtime without TensorFlow"
    )
    parser.add_argument("--sign", type=Path, metavar="KEY", help="sign it with a key of `model_store keygen`")
    parser.add_argument("--limits", type=Path, help="Markdown for the card: what the model is known to get wrong")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    licences = dict(item.partition("=")[::2] for item in args.licence)
    limits = args.limits.read_text(encoding="utf-8") if args.limits else ""
    published = publish(
        args.run,
        args.store,
        held_out=args.held_out,
        sounds=args.sounds,
        licences=licences,
        limits=limits,
        waiver=args.no_gate,
        onnx=args.onnx,
        key=SigningKey.read(args.sign) if args.sign else None,
    )
    print(f"published {published.name}, {published.sha256[:12]}")
    return 0


def _check(folder: Path) -> None:
    """See that a complete artifact loads and answers its probe in each of its runtimes."""
    Detector.load(folder)
    if (folder / m.ONNX_FILE).exists():
        Detector.load(folder, runtime="onnx")


def _has(corpus: Path, partition: Partition) -> bool:
    return protocol_path(corpus, partition).exists()
