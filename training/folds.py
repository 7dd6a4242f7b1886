"""python -m training folds: a corpus -> runs' worth of held-out attacks and speakers, without giving up a clip.

Detectors do well on what they were trained on and on what resembles it: a dev set flatters, and the fewer attacks it
has, the more. So train and dev are put together and cut into folds; no attack and no bonafide speaker is in two. A run
on `DIR/1/CORPUS` learns from all folds but the first, which is its dev, and so on; a run on `DIR/all/CORPUS` learns
from everything, and `publish --held-out` calibrates it on what the others said of clips that they had not learned from.

Files are linked, not copied. A copy of a bonafide clip (`synthesise`) is learned from only where its original is.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.corpus import (
    Partition,
    Utterance,
    corpus_name,
    protocol_path,
    protocol_sha256,
    read_partition,
    write_protocol,
)
from training.score import file_of

ALL = "all"
POOLED_FILE = "pooled.json"  # beside LA/: partition -> SHA-256 of the protocol whose clips are in train too


def assign(utterances: Sequence[Utterance], *, folds: int, seed: int) -> dict[str, int]:
    """The fold of each utterance, 0 to `folds` - 1.

    Attacks are dealt out in a random order, each to the fold that has the fewest spoofs so far, and so are speakers by
    their bonafide clips.

    Raises
    ------
    ValueError
        Fewer attacks, or fewer bonafide speakers, than folds.
    """
    rng = np.random.default_rng(seed)
    fold_of_group: dict[tuple[str, str], int] = {}
    for key in ("bonafide", "spoof"):
        sizes = Counter(_group(u) for u in utterances if u.key == key)
        if len(sizes) < folds:
            what = "attacks" if key == "spoof" else "bonafide speakers"
            raise ValueError(f"Each of {folds} folds has {what} of its own. Received: {len(sizes)} {what}.")
        filled = [0] * folds
        groups = sorted(sizes)
        for place in rng.permutation(len(groups)):
            emptiest = filled.index(min(filled))
            fold_of_group[groups[place]] = emptiest
            filled[emptiest] += sizes[groups[place]]
    return {u.id: fold_of_group[_group(u)] for u in utterances}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="folder with train and dev")
    parser.add_argument(
        "--copies", type=Path, action="append", default=[], metavar="DIR", help="what synthesise made of it; repeat it"
    )
    parser.add_argument("--folds", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the deal (default: 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="must be empty, or not there")


def run(args: argparse.Namespace) -> int:
    """Write the folds' folders, of links and protocols.

    Raises
    ------
    CorpusError
        A folder that does not follow the layout.
    ValueError
        Arguments out of range, or something is in the way.
    """
    if args.folds < 2:
        raise ValueError(f"There are 2 folds or more. Received: {args.folds}.")
    if args.out.exists() and any(args.out.iterdir()):
        raise ValueError(f"Folds are written to an empty folder. Received: {args.out}.")
    utterances = read_partition(args.corpus, "train") + read_partition(args.corpus, "dev")
    fold_of = assign(utterances, folds=args.folds, seed=args.seed)
    copies = {root: read_partition(root, "train") for root in args.copies}
    for fold in range(args.folds):
        folder = args.out / str(fold + 1)
        learned = [u for u in utterances if fold_of[u.id] != fold]
        _write(folder / corpus_name(args.corpus), "train", learned)
        _write(folder / corpus_name(args.corpus), "dev", [u for u in utterances if fold_of[u.id] == fold])
        for root, made in copies.items():
            # A copy of a clip of another corpus has nothing to do with the folds.
            _write(folder / corpus_name(root), "train", [u for u in made if fold_of.get(u.source or "") != fold])
    whole = args.out / ALL / corpus_name(args.corpus)
    _write(whole, "train", utterances)
    sources: list[Partition] = ["train", "dev"]
    (whole / POOLED_FILE).write_text(json.dumps({name: protocol_sha256(args.corpus, name) for name in sources}))
    if protocol_path(args.corpus, "eval").exists():
        _write(whole, "eval", read_partition(args.corpus, "eval"))
    for root, made in copies.items():
        _write(args.out / ALL / corpus_name(root), "train", made)
    return 0


def _group(utterance: Utterance) -> tuple[str, str]:
    return utterance.key, utterance.attack or utterance.speaker


def _write(root: Path, partition: Partition, utterances: Sequence[Utterance]) -> None:
    """A partition of links to where the files are."""
    folder = root / "LA" / f"ASVspoof2019_LA_{partition}" / "flac"
    protocols = root / "LA" / "ASVspoof2019_LA_cm_protocols"
    for made in (folder, protocols):
        made.mkdir(parents=True, exist_ok=True)
    for u in utterances:
        (folder / f"{u.id}.flac").symlink_to(file_of(u).resolve())
    write_protocol(protocol_path(root, partition), utterances)
