"""`python -m training metrics`: all that a score file says before anyone chooses a threshold."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from model_store.channel_class import CHANNEL_CLASSES
from training.confidence import Interval, eer_interval, eer_interval_over_speakers
from training.corpus import KEYS
from training.metrics import ASVSPOOF5_COSTS, actual_dcf, cllr, equal_error_rate, min_cllr, min_dcf
from training.options import add_seed
from training.tandem import AsvScores, min_tdcf, read_asv_scores
from training.trials import NOTHING, Scores, Trial, read_trials

UNKNOWN_ATTACK = "unknown"  # stands for the attack of spoofs whose attack is not recorded


def summarise(trials: Sequence[Trial], *, asv: AsvScores | None = None, seed: int = 0) -> dict[str, Any]:
    """EER with its intervals, t-DCF, Cllr and the EER against each attack, ready for JSON.

    Parameters
    ----------
    trials : sequence of Trial
        Both classes.
    asv : AsvScores, optional
        Of the same corpus and partition. Without them `min_tdcf` is None.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        Rates in percent, where the name says so; intervals are 95 % and `[low, high]`.
    """
    scores = Scores.of(trials)
    eer = equal_error_rate(scores)
    over_speakers = eer_interval_over_speakers(trials, seed=seed)
    return {
        "trials": {"all": len(trials), "bonafide": scores.bonafide.size, "spoof": scores.spoof.size},
        "speakers": len({trial.speaker for trial in trials} - {NOTHING}),
        "eer_percent": 100 * eer.rate,
        "eer_interval_percent": percent(eer_interval(scores, seed=seed)),
        "eer_interval_over_speakers_percent": None if over_speakers is None else percent(over_speakers),
        "eer_threshold": eer.threshold,
        "min_tdcf": None if asv is None else min_tdcf(scores, asv),
        "cllr": cllr(scores),
        "min_cllr": min_cllr(scores),
        "dcf": {
            **asdict(ASVSPOOF5_COSTS),
            "threshold": ASVSPOOF5_COSTS.threshold,
            "actual": actual_dcf(scores),
            "min": min_dcf(scores),
        },
        "channel_classes": {
            name: {
                "bonafide": of_class.bonafide.size,
                "spoof": of_class.spoof.size,
                "eer_percent": 100 * equal_error_rate(of_class).rate,
                "eer_interval_percent": percent(eer_interval(of_class, seed=seed)),
                "cllr": cllr(of_class),
                "min_cllr": min_cllr(of_class),
            }
            for name, of_class in scores_by_channel_class(trials).items()
        },
        "attacks": {
            attack: {
                "spoof": of_attack.spoof.size,
                "mean_score": float(of_attack.spoof.mean()),
                "eer_percent": 100 * equal_error_rate(of_attack).rate,
                "eer_interval_percent": percent(eer_interval(of_attack, seed=seed)),
            }
            for attack, of_attack in scores_by_attack(trials).items()
        },
    }


def scores_by_attack(trials: Sequence[Trial]) -> dict[str, Scores]:
    """Each attack's spoofs against all bonafide clips, by attack in alphabetical order."""
    bonafide = Scores.of(trials).bonafide
    spoofs: dict[str, list[float]] = {}
    for trial in trials:
        if trial.key == "spoof":
            spoofs.setdefault(trial.attack or UNKNOWN_ATTACK, []).append(trial.score)
    return {attack: Scores(bonafide=bonafide, spoof=np.array(spoofs[attack])) for attack in sorted(spoofs)}


def scores_by_channel_class(trials: Sequence[Trial]) -> dict[str, Scores]:
    """The scores of each class of channel that both bonafide and spoof clips came through, where that is known."""
    by_class = {name: [t for t in trials if t.channel_class == name] for name in CHANNEL_CLASSES}
    return {name: Scores.of(found) for name, found in by_class.items() if len({t.key for t in found}) == len(KEYS)}


def percent(interval: Interval) -> list[float]:
    """`[low, high]` in percent."""
    return [100 * interval.low, 100 * interval.high]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `python -m training metrics`."""
    parser.add_argument(
        "--cm",
        type=Path,
        required=True,
        metavar="FILE",
        help="a detector's scores, in ASVspoof's 4 or 6 columns",
    )
    parser.add_argument("--asv", type=Path, metavar="FILE", help="the organisers' ASV scores, for min t-DCF")
    add_seed(parser, "the bootstrap intervals")


def run(args: argparse.Namespace) -> int:
    """Print `summarise` of `--cm` as JSON; raises ScoreFileError or OSError on a file that cannot be read."""
    asv = None if args.asv is None else read_asv_scores(args.asv)
    summary = summarise(read_trials(args.cm), asv=asv, seed=args.seed)
    sys.stdout.write(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return 0
