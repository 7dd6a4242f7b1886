"""`python -m training audit`: what moves a detector's verdicts that should not, and what it says of what is not speech.

The same clips are scored again after each of `training.transforms` (and of the service's channels); joined to others
of the same voice; at several lengths; and beside them signals that nobody spoke. Nothing here is fitted: it may be run
on eval.
"""

import argparse
import json
import zlib
from collections.abc import Mapping, Sequence, Set
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from model_store.detector import Detector, Score, Waveform
from model_store.store import DEFAULT_ROOT, Store
from training import audit_plots, plots
from training.channels import named
from training.corpus import PARTITIONS, Key, Utterance, read_not_speech, read_to_judge
from training.kinds import Provenance, kinds, read_provenance
from training.non_speech import SIGNALS, variants
from training.options import add_seed
from training.recordings import Recording, decode, runs, stratified
from training.report import render
from training.splice import join
from training.stability import Answer, Points, agreed, eer, errors, movement
from training.summary import summarise
from training.transforms import TRANSFORMS, Transform
from training.trials import NOTHING, Trial, see_writable

CLIPS = 400
LENGTHS_SECONDS = (1, 2, 3, 5, 10)
DECIDING = "balanced"  # the operating point of tables that have room for one
SOUND_CHANNELS = (
    "original",
    "gsm",
    "opus",
    "amr_nb",
)  # of signals that nobody spoke: speech codecs make voices of them
_POOL = 4  # times the clips: scored as they are, for the tables by kind of clip and for joining
_AT_A_TIME = 32


def audit(
    detector: Detector,
    utterances: Sequence[Utterance],
    *,
    clips: int = CLIPS,
    seed: int = 0,
    transforms: Mapping[str, Transform] = TRANSFORMS,
    provenance: Provenance | None = None,
    sounds: Sequence[Utterance] = (),
) -> dict[str, Any]:
    """Everything that the report says, ready for JSON.

    Parameters
    ----------
    utterances : sequence of Utterance
        Of a partition, with files; both classes.
    clips : int
        How many are drawn for the transforms, half of them bonafide; four times as many are scored as they are.
    provenance : mapping, optional
        What else is known of an utterance: `language` and `coding` become tables.
    sounds : sequence of Utterance
        Recordings that nobody spoke, with files, to be told by their speaker, who is where they come from.

    Returns
    -------
    dict
        `transforms`, `joined`, `lengths`, `kinds`, `non_speech` (by channel), `batch_difference`, and `summary`
        (`training.summary.summarise`) of the clips as they are. Memory: the waveforms of four times `clips`.
    """
    rate = detector.manifest.input.sample_rate
    points: dict[str, float] = {
        name: point.threshold for name, point in detector.manifest.output.operating_points.items()
    }
    pool = decode(stratified(utterances, count=_POOL * clips, seed=seed), sample_rate=rate)
    answers = _answers(detector, [r.waveform for r in pool], points, "as they are")
    drawn, before = pool[:clips], answers[:clips]
    keys = [r.utterance.key for r in drawn]

    unspoken = {name: list(variants(name, seed=seed, sample_rate=rate)) for name in SIGNALS}
    for recording in decode(sounds, sample_rate=rate):
        unspoken.setdefault(recording.utterance.speaker, []).append(recording.waveform)

    moved = {}
    for name, transform in transforms.items():
        changed = [_apply(transform, name, r, seed=seed, sample_rate=rate) for r in drawn]
        after = _answers(detector, changed, points, name)
        figures = movement(before, after, keys, points=points, seed=seed)
        moved[name] = {"words": transform.words, "matters": transform.matters, **figures}
    return {
        "seed": seed,
        "clips": {"transformed": len(drawn), "scored": len(pool)},
        "points": points,
        "summary": summarise([_trial(r, a) for r, a in zip(pool, answers, strict=True)], seed=seed),
        "transforms": moved,
        "joined": _joined(detector, pool, answers, points, seed=seed),
        "lengths": {str(s): _at_length(detector, pool, points, seconds=s, seed=seed) for s in LENGTHS_SECONDS},
        "kinds": kinds(pool, answers, provenance or {}, sample_rate=rate, point=DECIDING),
        "non_speech": _non_speech(detector, unspoken, points, recorded={u.speaker for u in sounds}),
        "batch_difference": batch_difference(detector, [r.waveform for r in drawn[:_AT_A_TIME]]),
    }


def batch_difference(detector: Detector, waveforms: Sequence[Waveform]) -> float:
    """The largest difference of a clip's score alone from its score among the others."""
    together = detector.score(waveforms)
    alone = [detector.score([waveform])[0] for waveform in waveforms]
    return max(abs(a.value - b.value) for a, b in zip(together, alone, strict=True))


def write_report(figures: Mapping[str, Any], folder: Path, *, subject: Mapping[str, str]) -> Path:
    """Write `audit.json`, the plots and `index.html` to `folder`; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    claims = {"subject": dict(subject), **figures}
    (folder / "audit.json").write_text(json.dumps(claims, indent=2, allow_nan=False) + "\n")
    for name, canvas in {
        "still": audit_plots.changed(figures["transforms"], matters=False, point=DECIDING),
        "moves": audit_plots.changed(figures["transforms"], matters=True, point=DECIDING),
        "lengths": audit_plots.lengths(figures["lengths"]),
        "non_speech": audit_plots.non_speech(figures["non_speech"]["original"], figures["points"]),
    }.items():
        plots.save(canvas, folder / f"{name}.png")
    channels = {name: named(name).words for name in figures["non_speech"]}
    return render("audit.html.j2", folder / "index.html", deciding=DECIDING, channels=channels, **claims)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--model", required=True, metavar="FAMILY[@VERSION]")
    parser.add_argument(
        "--store", type=Path, default=DEFAULT_ROOT, metavar="DIR", help="store of artifacts (default: the shipped one)"
    )
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="folder in the ASVspoof layout")
    parser.add_argument("--partition", choices=PARTITIONS, default="eval")
    parser.add_argument(
        "--sounds",
        type=Path,
        metavar="DIR",
        help="folder in the same layout whose eval partition nobody spoke, as training/recipes/sounds.py makes one",
    )
    parser.add_argument("--clips", type=int, default=CLIPS, help=f"that are transformed (default: {CLIPS})")
    add_seed(parser, "the draw and of all that is random")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the report is written")


def run(args: argparse.Namespace) -> int:
    """Write the report to `--out`."""
    if args.clips < 2:
        raise ValueError(f"An audit takes at least one clip of each class. Received: --clips {args.clips}.")
    folder = args.corpus.resolve()
    utterances = read_to_judge(folder, args.partition)
    detector = Detector.load(Store(args.store).resolve(args.model))
    sounds = read_not_speech(args.sounds) if args.sounds is not None else ()
    see_writable(args.out)
    figures = audit(
        detector, utterances, clips=args.clips, seed=args.seed, provenance=read_provenance(folder), sounds=sounds
    )
    subject = {
        "system": detector.manifest.name,
        "corpus": folder.parent.name if folder.name == "LA" else folder.name,
        "partition": args.partition,
    }
    write_report(figures, args.out, subject=subject)
    return 0


def _answers(detector: Detector, waveforms: Sequence[Waveform], points: Points, words: str) -> list[Answer]:
    return [Answer.of(score, points) for score in _scores(detector, waveforms, words)]


def _scores(detector: Detector, waveforms: Sequence[Waveform], words: str) -> list[Score]:
    firsts = tqdm(range(0, len(waveforms), _AT_A_TIME), desc=words, unit="call", leave=False, disable=None)
    return [score for first in firsts for score in detector.score(waveforms[first : first + _AT_A_TIME])]


def _apply(transform: Transform, name: str, recording: Recording, *, seed: int, sample_rate: int) -> Waveform:
    """The same for a clip whatever else is drawn or done."""
    rng = np.random.default_rng((seed, zlib.crc32(f"{name} {recording.utterance.id}".encode())))
    return transform.apply(recording.waveform, rng, sample_rate=sample_rate)


def _joined(
    detector: Detector, pool: Sequence[Recording], answers: Sequence[Answer], points: Points, *, seed: int
) -> dict[str, Any] | None:
    """Two bonafide clips of one speaker as one, against the verdict that both of them got."""
    rate = detector.manifest.input.sample_rate
    of_clip = {r.utterance.id: a for r, a in zip(pool, answers, strict=True)}
    longest = max(r.waveform.size for r in pool)
    pairs = [run[:2] for run in runs([r for r in pool if r.utterance.key == "bonafide"], samples=longest + 1)]
    if not pairs:
        return None
    both = [agreed(*(of_clip[r.utterance.id] for r in pair)) for pair in pairs]
    after = _answers(detector, [join([r.waveform for r in pair], sample_rate=rate) for pair in pairs], points, "joined")
    keys: list[Key] = ["bonafide"] * len(pairs)
    return movement(both, after, keys, points=points, seed=seed)


def _at_length(
    detector: Detector, pool: Sequence[Recording], points: Points, *, seconds: int, seed: int
) -> dict[str, Any] | None:
    """Clips of one voice joined and cut to a length: the errors, and the EER where both classes have any."""
    rate = detector.manifest.input.sample_rate
    whole = runs(pool, samples=(seconds + 1) * rate)  # a second more: joints fade
    if not whole:
        return None
    waveforms = [join([r.waveform for r in run], sample_rate=rate)[: seconds * rate] for run in whole]
    keys = [run[0].utterance.key for run in whole]
    answers = _answers(detector, waveforms, points, f"{seconds} s")
    return eer(answers, keys, seed=seed) | dict(errors(answers, keys, point=DECIDING))


def _non_speech(
    detector: Detector, signals: Mapping[str, Sequence[Waveform]], points: Points, *, recorded: Set[str | None]
) -> dict[str, dict[str, Any]]:
    """Channel -> signal -> how many there are, whether of recordings, their scores, and what they are called."""
    rate = detector.manifest.input.sample_rate
    found: dict[str, dict[str, Any]] = {channel: {} for channel in SOUND_CHANNELS}
    for channel, (name, waveforms) in product(SOUND_CHANNELS, signals.items()):
        changed = [named(channel).apply(waveform, sample_rate=rate) for waveform in waveforms]
        scores = _scores(detector, changed, f"{name}, {channel}")
        said = {p: [score.verdict(threshold=threshold) for score in scores] for p, threshold in points.items()}
        found[channel][name] = {
            "signals": len(scores),
            "recorded": name in recorded,
            "scores": [score.value for score in scores],
            "bonafide": {p: verdicts.count("bonafide") for p, verdicts in said.items()},
            "inconclusive": sum(bool(score.reasons) for score in scores),
        }
    return found


def _trial(recording: Recording, answer: Answer) -> Trial:
    u = recording.utterance
    return Trial(u.speaker or NOTHING, u.id, u.attack, u.key, answer.value)
