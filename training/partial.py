"""`python -m training partial make | measure`: clips of which only a passage is spoofed, and who finds the passage.

A clip is made of bonafide clips of one speaker, joined until they last 6 to 10 s. In its *partial* version a passage
of 1 to 3 s is replaced by a spoof's; in its *control* version the same passage is replaced by another speaker's
bonafide one, so that neither the splice nor the other voice gives the spoof away. Beside them lie *whole* clips as
long, joined in the same way from bonafide clips or from the spoofs of one voice: what finds a passage must not miss
those. After PartialSpoof (Zhang et al. 2023, arXiv:2204.05177), whose passages are as short as words.
"""

import argparse
import csv
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from model_store.detector import Detector, Waveform
from model_store.store import DEFAULT_ROOT, Store
from training import localise
from training.corpus import PARTITIONS, CorpusError, Key, Partition, protocol_path, read_partition
from training.options import add_seed
from training.recordings import Recording, decode, runs, stratified
from training.splice import insert, join
from training.trials import NOTHING

Kind = Literal["partial", "control", "whole"]

CLIP_SECONDS = (6.0, 10.0)
PASSAGE_SECONDS = (1.0, 3.0)
VERSIONS = 4  # of a clip, each with other passages at another place
TABLE = "partial.csv"

_EDGE_SECONDS = 0.25  # that a passage keeps from the ends of its clip
_LOUDEST = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A row of `partial.csv`: what a made clip is, and where its passage lies; in a whole clip, nowhere."""

    id: str = ""
    kind: Kind
    key: Key
    attack: str  # of the passage, or of the whole; - for bonafide
    speaker: str
    sample_rate: int
    seconds: float
    clips: str  # joined by +
    donor: str = NOTHING
    start_seconds: float = 0.0
    end_seconds: float = 0.0


def make(corpus: Path, partition: Partition, out: Path, *, versions: int = VERSIONS, seed: int) -> list[Made]:
    """Write the clips, a protocol that names them, and `partial.csv` to a new folder, in the layout of the corpus.

    All of it is there at the end, or none. Every file keeps the sample rate of what it was made from: nothing is joined
    to what has another.

    Parameters
    ----------
    versions : int
        Of each joined bonafide clip, so many partial and as many control ones.

    Raises
    ------
    CorpusError
        Where the corpus has too little for a single partial spoof.
    ValueError
        Something is in the way.
    """
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"A test set is written to an empty folder. Received: {out}.")
    utterances = read_partition(corpus, partition)
    recordings = decode(stratified(utterances, count=len(utterances), seed=seed), sample_rate=None)
    out = out.resolve()
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a command that was killed
    folder = unfinished / f"ASVspoof2019_LA_{partition}" / "flac"
    (unfinished / "ASVspoof2019_LA_cm_protocols").mkdir(parents=True)
    folder.mkdir(parents=True)
    table: list[Made] = []
    for waveform, row in _clips(recordings, np.random.default_rng(seed), versions=versions):
        table.append(replace(row, id=f"PART_{partition[0].upper()}_{len(table):05}"))
        gain = min(1.0, _LOUDEST / float(np.abs(waveform).max()))
        soundfile.write(folder / f"{table[-1].id}.flac", gain * waveform, row.sample_rate, subtype="PCM_16")
    if not any(row.kind == "partial" for row in table):
        shutil.rmtree(unfinished)
        raise CorpusError(
            f"A partial spoof takes {CLIP_SECONDS[0]:g} s of bonafide clips of one speaker, a clip of another and a "
            f"spoof, all of one sample rate. Received: {corpus}, {partition}, which has none."
        )
    lines = [f"{row.speaker} {row.id} {NOTHING} {row.attack} {row.key}\n" for row in table]
    protocol_path(unfinished, partition).write_text("".join(lines), encoding="utf-8")
    with (unfinished / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Made)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in table)
    unfinished.replace(out)
    return table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    steps = parser.add_subparsers(dest="step", required=True)
    making = steps.add_parser("make", help="make a test set from a partition of a corpus")
    making.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder, in the ASVspoof layout")
    making.add_argument(
        "--versions", type=int, default=VERSIONS, help=f"of a clip, each with another passage (default: {VERSIONS})"
    )
    add_seed(making, "all that is drawn")
    measuring = steps.add_parser("measure", help="print how a model does on such a set, as JSON")
    measuring.add_argument("--model", required=True, metavar="FAMILY[@VERSION]")
    measuring.add_argument("--store", type=Path, default=DEFAULT_ROOT, metavar="DIR", help="(default: the shipped one)")
    add_seed(measuring, "the intervals")
    for step in (making, measuring):
        step.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="what it is made of, or was made")
        step.add_argument("--partition", choices=PARTITIONS, default="eval")


def run(args: argparse.Namespace) -> int:
    """Make a set, or print what a model does on one."""
    if args.step == "make":
        table = make(args.corpus, args.partition, args.out, versions=args.versions, seed=args.seed)
        print(f"made {len(table)} clips, {sum(row.kind == 'partial' for row in table)} of them partial spoofs")
        return 0
    with (args.corpus / TABLE).open(encoding="utf-8", newline="") as file:
        passages = {row["id"]: localise.Passage.of(row) for row in csv.DictReader(file)}
    detector = Detector.load(Store(args.store).resolve(args.model))
    utterances = [u for u in read_partition(args.corpus, args.partition) if u.id in passages]
    figures = localise.measure(detector, utterances, passages, seed=args.seed)
    sys.stdout.write(json.dumps(figures, indent=2, allow_nan=False) + "\n")
    return 0


def _clips(recordings: list[Recording], rng: np.random.Generator, *, versions: int) -> Iterator[tuple[Waveform, Made]]:
    """Every clip that can be made, sample rate by sample rate, spoofs in turn by attack."""
    for rate in sorted({r.file_rate for r in recordings}):
        of_rate = [r for r in recordings if r.file_rate == rate]
        long_enough = [r for r in of_rate if r.waveform.size > (PASSAGE_SECONDS[0] + 0.1) * rate]
        spoofs = [r for r in long_enough if r.utterance.key == "spoof"]
        used = 0
        for parts in runs(of_rate, samples=round((CLIP_SECONDS[0] + 0.1) * rate)):
            waveform = join([r.waveform for r in parts], sample_rate=rate)[: round(CLIP_SECONDS[1] * rate)]
            first = parts[0].utterance
            whole = Made(
                kind="whole",
                key=first.key,
                attack=first.attack or NOTHING,
                speaker=first.speaker,
                sample_rate=rate,
                seconds=waveform.size / rate,
                clips="+".join(r.utterance.id for r in parts),
            )
            yield waveform, whole
            others = [r for r in long_enough if r.utterance.key == "bonafide" and r.utterance.speaker != first.speaker]
            for _ in range(versions if first.key == "bonafide" and spoofs and others else 0):
                donors = spoofs[used % len(spoofs)], others[rng.integers(len(others))]
                used += 1
                yield from _spliced(waveform, whole, *donors, rng)


def _spliced(
    carrier: Waveform, whole: Made, spoof: Recording, other: Recording, rng: np.random.Generator
) -> Iterator[tuple[Waveform, Made]]:
    """The partial and the control version of a clip, with passages of one length at one place."""
    rate = whole.sample_rate
    most = min(PASSAGE_SECONDS[1] * rate, spoof.waveform.size, other.waveform.size)
    length = int(rng.uniform(PASSAGE_SECONDS[0] * rate, most))
    edge = round(_EDGE_SECONDS * rate)
    start = int(rng.integers(edge, carrier.size - length - edge))
    for donor in (spoof, other):
        begin = int(rng.integers(0, donor.waveform.size - length + 1))
        passage = donor.waveform[begin : begin + length]
        waveform, first, last = insert(carrier, passage, start=start, sample_rate=rate)
        is_spoof = donor is spoof
        yield (
            waveform,
            replace(
                whole,
                kind="partial" if is_spoof else "control",
                key="spoof" if is_spoof else "bonafide",
                attack=(donor.utterance.attack or NOTHING) if is_spoof else NOTHING,
                donor=donor.utterance.id,
                start_seconds=first / rate,
                end_seconds=last / rate,
            ),
        )
