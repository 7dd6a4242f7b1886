"""`python -m training evaluate`: what a model's scores are worth at its operating point, as JSON and a page."""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model_store.store import DEFAULT_ROOT, Store, read_manifest
from training import channels, evaluation_plots, plots
from training.confidence import proportion_interval
from training.corpus import PARTITIONS, Partition, corpus_name, read_to_judge
from training.metrics import balanced_subset, classification, error_rates
from training.options import add_seed
from training.report import render
from training.summary import percent, scores_by_attack, scores_by_channel_class, summarise
from training.tandem import AsvScores, read_asv_scores
from training.trials import Scores, Trial, read_trials, see_writable

GIVEN_THRESHOLD = "a threshold given for this report"

History = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a report is about, in the words that it uses: a figure without these is no claim."""

    system: str
    corpus: str
    partition: str
    channel: str
    operating_point: str


def evaluate(
    trials: Sequence[Trial],
    *,
    threshold: float,
    points: Mapping[str, float] | None = None,
    asv: AsvScores | None = None,
    history: History | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that a report says about `trials`, ready for JSON.

    Parameters
    ----------
    trials : sequence of Trial
        Both classes; a clip is called bonafide where its score >= `threshold`.
    threshold : float
        The operating point, chosen elsewhere: one chosen on these trials would flatter.
    points : mapping of str to float, optional
        The thresholds of an artifact's operating points, to be set beside this one.
    asv : AsvScores, optional
        The organisers' ASV scores, for `min_tdcf`.
    history : mapping of str to sequence of float, optional
        One value for each epoch of training, by name.
    seed : int
        Of the bootstrap intervals and of the balanced subset.

    Returns
    -------
    dict
        `training.summary.summarise`, and `threshold`, `operating_point` (both error rates with Wilson's 95 %
        intervals), `natural` and `balanced` (`training.metrics.Classification` of all trials and of a subset
        with as many of each class), and for each attack how many of its spoofs were accepted.

    Raises
    ------
    ValueError
        Where a class is missing, or a score or the threshold is not finite.
    """
    _see_that_finite(threshold)
    scores = Scores.of(trials)
    evaluation = summarise(trials, asv=asv, seed=seed)
    for name, of_class in scores_by_channel_class(trials).items():
        evaluation["channel_classes"][name] |= _errors(of_class, threshold=threshold)
    for attack, of_attack in scores_by_attack(trials).items():
        accepted = int(np.count_nonzero(of_attack.spoof >= threshold))
        evaluation["attacks"][attack] |= {
            "false_accepts": accepted,
            "false_accept_percent": 100 * accepted / of_attack.spoof.size,
            "false_accept_interval_percent": percent(proportion_interval(accepted, trials=of_attack.spoof.size)),
        }
    return evaluation | {
        "seed": seed,
        "threshold": threshold,
        "operating_point": _errors(scores, threshold=threshold),
        "operating_points": {
            name: {"threshold": at, **_errors(scores, threshold=at)} for name, at in (points or {}).items()
        },
        "natural": asdict(classification(scores, threshold=threshold)),
        "balanced": asdict(classification(balanced_subset(scores, seed=seed), threshold=threshold)),
        "history": None if history is None else {name: list(values) for name, values in history.items()},
    }


def _see_that_finite(threshold: float) -> None:
    if not math.isfinite(threshold):
        raise ValueError(f"A threshold is finite. Received: {threshold}.")


def _errors(scores: Scores, *, threshold: float) -> dict[str, Any]:
    rates = error_rates(scores, threshold=threshold)
    return {
        "false_accepts": rates.false_accepts,
        "false_accept_percent": 100 * rates.false_accept_rate,
        "false_accept_interval_percent": percent(rates.false_accept_interval),
        "false_rejects": rates.false_rejects,
        "false_reject_percent": 100 * rates.false_reject_rate,
        "false_reject_interval_percent": percent(rates.false_reject_interval),
    }


def write_report(evaluation: Mapping[str, Any], trials: Sequence[Trial], folder: Path, *, subject: Subject) -> Path:
    """Write `evaluation.json`, the figures and `index.html` to `folder`; return the page's path.

    Parameters
    ----------
    evaluation : mapping
        What `evaluate` made of `trials`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    claims = {"subject": asdict(subject), **evaluation}
    (folder / "evaluation.json").write_text(json.dumps(claims, indent=2, allow_nan=False) + "\n")
    scores, threshold, history = Scores.of(trials), evaluation["threshold"], evaluation["history"]
    figures = {
        "scores": evaluation_plots.score_histogram(scores, threshold=threshold),
        "attacks": evaluation_plots.attacks(scores_by_attack(trials), evaluation["attacks"], threshold=threshold),
        "thresholds": evaluation_plots.error_rates_by_threshold(
            scores,
            points={name: point["threshold"] for name, point in evaluation["operating_points"].items()}
            or {"threshold": threshold},
        ),
        "reliability": evaluation_plots.reliability(scores),
        "roc": evaluation_plots.roc(scores, threshold=threshold),
        "det": evaluation_plots.det(scores, threshold=threshold),
        "confusion": evaluation_plots.confusion(
            {
                "All clips": evaluation["natural"]["confusion"],
                "As many of each class": evaluation["balanced"]["confusion"],
            }
        ),
    }
    if history:
        figures["training"] = plots.training_curves(history)
    for name, figure in figures.items():
        plots.save(figure, folder / f"{name}.png")
    return render("evaluation.html.j2", folder / "index.html", **claims)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `python -m training evaluate`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scores", type=Path, metavar="FILE", help="report on these scores")
    source.add_argument("--model", metavar="FAMILY[@VERSION]", help="report on an artifact's scores of --corpus")
    parser.add_argument(
        "--store", type=Path, default=DEFAULT_ROOT, metavar="DIR", help="store of artifacts (default: the shipped one)"
    )
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="folder in the layout of ASVspoof 2019 LA")
    parser.add_argument("--partition", choices=PARTITIONS, help="of the corpus (default with --model: eval)")
    parser.add_argument("--threshold", type=float, help="a score to decide at (default: the artifact's balanced)")
    parser.add_argument("--asv", type=Path, metavar="FILE", help="the organisers' ASV scores, for min t-DCF")
    add_seed(parser, "intervals and the balanced subset")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the report is written")
    parser.add_argument("--system", help="the report's name for what gave the scores")
    parser.add_argument("--corpus-name", help="the report's name for the corpus")
    parser.add_argument(
        "--channel", choices=list(channels.CHANNELS), default="original", help="what each clip goes through first"
    )
    parser.add_argument("--channel-name", help="the report's words for what the clips of --scores went through")


def run(args: argparse.Namespace) -> int:
    """Write the report to `--out`.

    Raises
    ------
    ValueError
        Arguments that do not go together, or a ScoreFileError.
    OSError
        A file that cannot be read, or a folder that cannot be written to: told before anything is scored.
    """
    if args.threshold is not None:
        _see_that_finite(args.threshold)
    asv = None if args.asv is None else read_asv_scores(args.asv)
    see_writable(args.out)
    scored = _trials_and_threshold(args)
    evaluation = evaluate(
        scored.trials,
        threshold=scored.threshold,
        points=scored.points,
        asv=asv,
        history=scored.history,
        seed=args.seed,
    )
    write_report(evaluation, scored.trials, args.out, subject=scored.subject)
    return 0


class _Scored(NamedTuple):
    trials: list[Trial]
    threshold: float
    subject: Subject
    history: History | None
    points: dict[str, float]


def _trials_and_threshold(args: argparse.Namespace) -> _Scored:
    """What to report on: a file of scores, or what an artifact makes of a corpus now."""
    if args.scores is not None:
        if args.threshold is None:
            raise ValueError("Scores from a file need a --threshold to decide at. Received: none.")
        subject = Subject(
            system=args.system or args.scores.name,
            corpus=args.corpus_name or "a corpus that was not named",
            partition=args.partition or "unnamed",
            channel=args.channel_name or "through a channel that was not named",
            operating_point=GIVEN_THRESHOLD,
        )
        return _Scored(read_trials(args.scores), args.threshold, subject, None, {})
    if args.corpus is None:
        raise ValueError("A --model needs a --corpus to score. Received: none.")
    # Here, because it loads TensorFlow, which a report on a file of scores has no use for.
    from training.score import score_corpus  # noqa: PLC0415

    manifest = read_manifest(Store(args.store).resolve(args.model))
    partition: Partition = args.partition or "eval"
    read_to_judge(args.corpus, partition)
    balanced = manifest.output.operating_points["balanced"].threshold
    subject = Subject(
        system=args.system or manifest.name,
        corpus=args.corpus_name or corpus_name(args.corpus),
        partition=partition,
        channel=channels.named(args.channel).words,
        operating_point="the artifact's balanced operating point" if args.threshold is None else GIVEN_THRESHOLD,
    )
    return _Scored(
        score_corpus(args.store, manifest.name, args.corpus, partition, channel=args.channel),
        balanced if args.threshold is None else args.threshold,
        subject,
        manifest.metrics.get("history"),
        {name: point.threshold for name, point in manifest.output.operating_points.items()},
    )
