"""`python -m training fuse`: the branches of several runs, in one artifact's model; or some branches of one run.

Branches that were trained apart, with other seeds or recipes, err apart too; one alone costs less. And a round of
learning and the one that it began with have, in the mean of their weights, a network that knows what the second learned
and keeps more of what the first made of other attacks than the second does (M. Wortsman et al., "Robust fine-tuning of
zero-shot models", 2022, arXiv:2109.01903). What comes out is a run like any other, to be published; how much each
branch has to say is fitted on dev.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training import dataset
from training.config import Config, validated
from training.corpus import attacks, corpus_names, read_partition
from training.fit import LEARNER_FILE, MODEL_FILE, averaged, claim_config, clip_logits, read_history, read_learner
from training.fold import fold
from training.fusion import weigh
from training.model import branches_of, make_artifact, make_logits
from training.train import CORPORA_FILE


def fuse(
    runs: Sequence[Path],
    out: Path,
    *,
    without: Sequence[str] = (),
    shares: Sequence[float] = (),
    weights: Mapping[str, float] | None = None,
    name: str | None = None,
) -> Path:
    """Write the run of a fused model, and return the model's path.

    Parameters
    ----------
    runs : folders that `train` made, or this, of models that hear the same windows and have the same loss
    without : names of branches to leave out
    shares : of each run in the mean of their weights, which they have the same branches for; else branches are put
        beside each other
    weights : of each branch; as the first run has them, or fitted, otherwise
    name : of the family that it is published as; the first run's otherwise

    Raises
    ------
    ValueError
        Runs that do not go together, two branches of one name, one to leave out that no run has, or none that is left;
        shares that are not one for each run, or less than 0; weights that are not of all branches; a name that is
        none; or `out` holds another run.
    """
    configs = [Config.model_validate_json((run / "config.json").read_text()) for run in runs]
    first = configs[0]
    if shares and (len(shares) != len(runs) or not np.isclose(sum(shares), 1) or min(shares) < 0):
        raise ValueError(
            f"Each run has a share, 0 or more, and all add up to 1. Received: {shares} for {len(runs)} runs."
        )
    branches: dict[str, keras.Model] = {}
    for number, (run, config) in enumerate(zip(runs, configs, strict=True)):
        if (config.input, config.fit.loss) != (first.input, first.fit.loss):
            raise ValueError(f"Runs that are fused hear the same windows and have the same loss. Received: {run}.")
        if shares and config.branches != first.branches:
            raise ValueError(f"Runs of whose weights a mean is taken have the same branches. Received: {run}.")
        for each, branch in _served(run, config).items():
            if each in branches and not shares:
                raise ValueError(f"Branches that are fused have names of their own. Received: {each!r} twice.")
            if each in without:
                continue
            if shares:
                before = branches[each].get_weights() if number else [0.0] * len(branch.weights)
                own = (shares[number] * value for value in branch.get_weights())
                branch.set_weights([one + other for one, other in zip(before, own, strict=True)])
            branches[each] = branch
    if unknown := set(without) - {each for config in configs for each in config.branches}:
        raise ValueError(f"A branch that is left out is one of a run. Received: {', '.join(sorted(unknown))}.")
    if not branches:
        raise ValueError(f"A model has a branch. Received: without {', '.join(without)}, which leaves none.")
    described = {each: branch for config in configs for each, branch in config.branches.items() if each in branches}
    fits = isinstance(first.fusion, str) or first.fusion.keys() == described.keys()
    fusion = weights or (first.fusion if fits else "fitted")
    parts = [config.model_dump(mode="json") for config in configs]
    changes = {"name": name or first.name, "branches": described, "fusion": fusion, "parts": parts, "shares": shares}
    fused = validated(Config, first.model_dump() | changes, what="A fused configuration")
    claim_config(out, fused)

    corpora = list({c["path"]: c for run in runs for c in json.loads((run / CORPORA_FILE).read_text())}.values())
    roots = [Path(c["path"]) for c in corpora]
    corpus_names(roots)
    dev = dataset.load(roots, "dev", sample_rate=fused.input.sample_rate)
    logits = clip_logits(make_logits(fused, branches), dev, fused)
    utterances = [r.utterance for r in dev]
    weighed = weigh(fused, logits, utterances, training_attacks=_learned(corpora))
    (out / CORPORA_FILE).write_text(json.dumps(corpora, indent=1))
    (out / "history.json").write_text(json.dumps(read_history(runs[0]), indent=1))
    make_artifact(fused, branches, weights=weighed).save(out / MODEL_FILE)
    print(", ".join(f"{each} weighs {weight:.2f}" for each, weight in zip(branches, weighed, strict=True)))
    return out / MODEL_FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--run", type=Path, action="append", required=True, help="a folder that train or fuse made; repeat it"
    )
    parser.add_argument("--without", action="append", default=[], metavar="BRANCH", help="leave a branch out")
    parser.add_argument(
        "--share",
        type=float,
        action="append",
        default=[],
        help="of each --run, in order, in the mean of their weights, instead of their branches beside each other",
    )
    parser.add_argument(
        "--weight",
        type=_weight,
        action="append",
        default=[],
        metavar="BRANCH=WEIGHT",
        help="of a branch's logit in the sum; of each branch, or of none (default: as the first run has it, or fitted)",
    )
    parser.add_argument("--name", help="family that it is published as (default: the first run's)")
    parser.add_argument("--out", type=Path, required=True, help="the fused run's folder")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    model = fuse(args.run, args.out, without=args.without, shares=args.share, weights=dict(args.weight), name=args.name)
    print(f"the model is {model}; publish it with: python -m training publish --run {args.out}")
    return 0


def _served(run: Path, config: Config) -> dict[str, keras.Model]:
    """A run's branches as they are served: of what has learned, averaged and folded, or of a model that was fused."""
    if not (run / LEARNER_FILE).exists():
        model = keras.saving.load_model(run / MODEL_FILE)
        return {name: model.get_layer(name) for name in config.branches}
    learner = read_learner(run / LEARNER_FILE, config)
    with averaged(learner):
        return {name: fold(branch) for name, branch in branches_of(learner, config).items()}


def _weight(text: str) -> tuple[str, float]:
    name, _, weight = text.partition("=")
    try:
        return name, float(weight)
    except ValueError:
        raise argparse.ArgumentTypeError(f"A weight reads BRANCH=WEIGHT. Received: {text!r}.") from None


def _learned(corpora: Sequence[dict[str, Any]]) -> set[str]:
    return {a for c in corpora if "train" in c["protocols"] for a in attacks(read_partition(Path(c["path"]), "train"))}
