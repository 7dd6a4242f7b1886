"""python -m training folds: corpora -> runs' worth of held-out attacks and sources, without giving up a clip.

Detectors do well on what they were trained on and on what resembles it: a dev set flatters, and the fewer attacks it
has, the more. So train and dev are put together and cut into folds; no attack and no bonafide speaker is in two, nor
is a source of bonafide clips, where `provenance.csv` tells it: rooms, microphones and codings are learned as voices
are. (`--no-sources` deals out speakers alone, as the partitions of a corpus often do: a model that knows the places
where people were recorded looks better so.) A run on `DIR/1/CORPUS` learns from all folds but the first, which is its
dev, and so on; a run on `DIR/all/CORPUS` learns from everything, and `publish --held-out` calibrates it on what the
others said of clips that they had not learned from.

Spoofs are held out by their attack alone: one that was made from a recording that is held out, as resyntheses are, is
learned from all the same, unless the protocol names that recording as its source, as it does of copies (`synthesise`).

Files are linked, not copied.
"""

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from training.corpus import (
    Partition,
    Utterance,
    corpus_name,
    corpus_names,
    protocol_path,
    protocol_sha256,
    read_partition,
    write_protocol,
)
from training.kinds import read_provenance, sources
from training.options import add_seed
from training.score import file_of

ALL = "all"
POOLED_FILE = "pooled.json"  # beside LA/: partition -> SHA-256 of the protocol whose clips are in train too


def assign(
    utterances: Sequence[Utterance], *, folds: int, seed: int, source_of: Mapping[str, str] | None = None
) -> dict[str, int]:
    """The fold of each utterance, 0 to `folds` - 1.

    Attacks are dealt out from the largest to the smallest, each to the fold that has the fewest spoofs so far, and so
    are bonafide speakers: those of a source together, unless the source would fill more than a quarter of a fold.

    Parameters
    ----------
    utterances : with ids that are unique among them
    seed : decides between groups of one size
    source_of : where bonafide utterances come from, by id; a speaker of several sources goes with the first

    Raises
    ------
    ValueError
        Fewer attacks, or fewer groups of bonafide speakers, than folds.
    """
    rng = np.random.default_rng(seed)
    fold_of: dict[str, int] = {}
    for key, group_of in (
        ("bonafide", _voices(utterances, source_of or {}, folds=folds)),
        ("spoof", _attacks(utterances)),
    ):
        sizes = Counter(group_of.values())
        if len(sizes) < folds:
            what = "attacks" if key == "spoof" else "bonafide speakers or sources"
            raise ValueError(f"Each of {folds} folds has {what} of its own. Received: {len(sizes)} {what}.")
        filled = [0] * folds
        fold_of_group: dict[str, int] = {}
        dealt = rng.permutation(sorted(sizes)).tolist()
        for group in sorted(dealt, key=lambda group: -sizes[group]):
            emptiest = filled.index(min(filled))
            fold_of_group[group] = emptiest
            filled[emptiest] += sizes[group]
        fold_of |= {name: fold_of_group[group] for name, group in group_of.items()}
    return fold_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--corpus",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="folder with train, and dev if it has one; spoofs without a source go by attack alone; repeat it",
    )
    parser.add_argument(
        "--copies", type=Path, action="append", default=[], metavar="DIR", help="what synthesise made; repeat it"
    )
    parser.add_argument("--folds", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument(
        "--sources",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="hold sources of bonafide clips out, and not their speakers alone",
    )
    add_seed(parser, "the deal")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="must be empty, or not there")


def run(args: argparse.Namespace) -> int:
    """Write the folds' folders, of links and protocols: all of them, or none under `--out`.

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
    corpus_names([*args.corpus, *args.copies])
    of_corpus = {root: _learnable(root) for root in args.corpus}
    everything = [u for partitions in of_corpus.values() for pool in partitions.values() for u in pool]
    twice = [name for name, count in Counter(u.id for u in everything).items() if count > 1]
    if twice:
        raise ValueError(f"Corpora that are dealt out together share no utterance. Received: {twice[0]}, twice.")
    provenances = [read_provenance(root) for root in of_corpus] if args.sources else []
    source_of = {name: source for provenance in provenances for name, source in sources(provenance).items()}
    fold_of = assign(everything, folds=args.folds, seed=args.seed, source_of=source_of)
    copies = {root: read_partition(root, "train") for root in args.copies}
    out = args.out.resolve()
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a command that was killed
    for fold in range(args.folds):
        folder = unfinished / str(fold + 1)
        held_out = {name for name, its_fold in fold_of.items() if its_fold == fold}
        for root, partitions in of_corpus.items():
            pool = [u for part in partitions.values() for u in part]
            _write(folder / corpus_name(root), "train", [u for u in pool if not {u.id, u.source} & held_out])
            _write(folder / corpus_name(root), "dev", [u for u in pool if u.id in held_out])
        for root, made in copies.items():
            # A copy of a clip of another corpus has nothing to do with the folds.
            _write(folder / corpus_name(root), "train", [u for u in made if u.source not in held_out])
    for root, partitions in of_corpus.items():
        whole = unfinished / ALL / corpus_name(root)
        _write(whole, "train", [u for part in partitions.values() for u in part])
        (whole / POOLED_FILE).write_text(json.dumps({name: protocol_sha256(root, name) for name in partitions}))
        if protocol_path(root, "eval").exists():
            _write(whole, "eval", read_partition(root, "eval"))
    for root, made in copies.items():
        _write(unfinished / ALL / corpus_name(root), "train", made)
    unfinished.replace(out)
    return 0


def _learnable(root: Path) -> dict[Partition, list[Utterance]]:
    """Train, and dev where the corpus has one."""
    partitions: list[Partition] = ["train", "dev"]
    return {
        name: read_partition(root, name) for name in partitions if name == "train" or protocol_path(root, name).exists()
    }


def _voices(utterances: Sequence[Utterance], source_of: Mapping[str, str], *, folds: int) -> dict[str, str]:
    """What each bonafide utterance is dealt out with, by id: its speaker's source, or its speaker alone."""
    bonafide = [u for u in utterances if u.key == "bonafide"]
    first: dict[str, str] = {}
    for u in bonafide:
        first.setdefault(u.speaker, source_of.get(u.id, ""))
    clips = Counter(first[u.speaker] for u in bonafide)
    large = {source for source, count in clips.items() if not source or count > len(bonafide) / folds / 4}
    return {u.id: f"{u.speaker} alone" if first[u.speaker] in large else first[u.speaker] for u in bonafide}


def _attacks(utterances: Sequence[Utterance]) -> dict[str, str]:
    """The attack of each spoof, by id."""
    return {u.id: u.attack for u in utterances if u.attack is not None}


def _write(root: Path, partition: Partition, utterances: Sequence[Utterance]) -> None:
    """A partition of links to where the files are."""
    folder = root / "LA" / f"ASVspoof2019_LA_{partition}" / "flac"
    protocols = root / "LA" / "ASVspoof2019_LA_cm_protocols"
    for made in (folder, protocols):
        made.mkdir(parents=True, exist_ok=True)
    for u in utterances:
        (folder / f"{u.id}.flac").symlink_to(file_of(u).resolve())
    write_protocol(protocol_path(root, partition), utterances)
