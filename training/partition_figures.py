"""What a partition gave through each channel -> what a model's report says of it."""

from collections.abc import Sequence
from typing import Any

from model_store.manifest import Manifest, OperatingPoint
from training import channels, model_facts
from training.breakdown import by_kind, generators, kinds
from training.calibrate import mean_error_rates
from training.channel_scores import Heard
from training.evaluate import evaluate
from training.kinds import Provenance
from training.trials import Trial

IN_DETAIL = ("original", "telephone")  # that partitions beside the main one are heard through, and details are given of


def partition_figures(heard: Heard, manifest: Manifest, *, provenance: Provenance, seed: int) -> dict[str, Any]:
    """What the page says of a partition.

    Parameters
    ----------
    heard : Heard
        The scores through each channel.
    provenance : mapping
        What else is known of an utterance: `language`, `coding` and `generator` are told.

    Returns
    -------
    dict
        `channels`: of each, `training.evaluate.evaluate` at ``balanced``, `inconclusive` clips, whether training
        `heard` it, and at each operating point the mean error rates over attacks and over speakers and whether they
        lie ``below``, ``within`` or ``above`` what the point claims. `shown`: the channels that details are given
        of. `kinds`: title, kind, channel: `training.breakdown.shares`. `generators` of the attacks.
    """
    points = manifest.output.operating_points
    balanced = points["balanced"].threshold
    shown = [name for name in IN_DETAIL if name in heard.trials] or list(heard.trials)[:1]
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for title, kind_of in kinds(heard.facts, provenance).items():
        for name in shown:
            rows = by_kind(heard.trials[name], kind_of, threshold=balanced, seed=seed)
            for kind, found in rows.items():
                tables.setdefault(title, {}).setdefault(kind, {})[name] = found
    attack_of = {t.utterance: t.attack for t in heard.trials[shown[0]]}
    return {
        "channels": {
            name: {
                "words": channels.named(name).words,
                "heard": model_facts.heard_in_training(name, manifest.training),
                "inconclusive": heard.inconclusive[name],
                "claims": {point: against_claim(trials, claim) for point, claim in points.items()},
                **evaluate(
                    trials,
                    threshold=balanced,
                    points={point: claim.threshold for point, claim in points.items()},
                    seed=seed,
                ),
            }
            for name, trials in heard.trials.items()
        },
        "shown": shown,
        "kinds": tables,
        "generators": generators(attack_of, provenance),
    }


def against_claim(trials: Sequence[Trial], claim: OperatingPoint) -> dict[str, Any]:
    """Both mean error rates at an operating point, in percent, and where they lie by its intervals."""
    accepts, rejects = mean_error_rates(trials, threshold=claim.threshold)
    return {
        "false_accept_percent": 100 * accepts,
        "false_accept_place": _place(accepts, claim.false_accept_interval),
        "false_reject_percent": 100 * rejects,
        "false_reject_place": _place(rejects, claim.false_reject_interval),
    }


def _place(rate: float, interval: Sequence[float]) -> str:
    low, high = interval
    return "below" if rate < low else "above" if rate > high else "within"
