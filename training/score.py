"""python -m training score: a partition through the serving detector -> an ASVspoof score file."""

import argparse
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import soundfile
from tqdm import tqdm

from model_store import audio
from model_store.detector import Detector, Prepared
from model_store.store import DEFAULT_ROOT, Store
from training import channels
from training.corpus import PARTITIONS, Partition, Utterance, clip_named, read_partition
from training.trials import Trial, see_writable, write_trials

_AT_A_TIME = 32
_TELEPHONE_RATE = 8_000

Item = TypeVar("Item")
Made = TypeVar("Made")


def score_corpus(
    store: Path, model: str, corpus: Path, partition: Partition, *, channel: str = "original"
) -> list[Trial]:
    """Score a partition with a published artifact, as the service would.

    Parameters
    ----------
    model : ``family`` or ``family@version``
    channel : what each clip goes through first, one of `training.channels.CHANNELS`; ``telephone`` is `as_telephone`

    Returns
    -------
    A trial for each utterance, in the protocol's order; the scores are calibrated.
    """
    detector = Detector.load(Store(store).resolve(model))
    return score_utterances(detector, read_partition(corpus, partition), channel=channel)


def score_utterances(detector: Detector, utterances: Sequence[Utterance], *, channel: str = "original") -> list[Trial]:
    """Score utterances that have a file, in the order given; `channel` as `score_corpus` has it."""
    trials = []
    progress = tqdm(total=len(utterances), desc="score", unit="clip", disable=None)
    prepared = ahead(
        lambda utterance: prepare(detector, file_of(utterance), channel=channel), utterances, at_most=4 * _AT_A_TIME
    )
    waiting = iter(utterances)
    while clips := list(islice(prepared, _AT_A_TIME)):
        for score in detector.score_prepared(clips):
            utterance = next(waiting)
            trials.append(
                Trial(
                    utterance.speaker,
                    utterance.id,
                    utterance.attack,
                    utterance.key,
                    score.value,
                    score.channel_class,
                )
            )
        progress.update(len(clips))
    progress.close()
    return trials


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--store", type=Path, default=DEFAULT_ROOT, help="store of artifacts (default: the shipped one)"
    )
    parser.add_argument("--model", required=True, help="family or family@version")
    parser.add_argument("--corpus", type=Path, required=True, help="folder in the ASVspoof 2019 LA layout")
    parser.add_argument("--partition", choices=PARTITIONS, default="eval")
    parser.add_argument(
        "--channel", choices=list(channels.CHANNELS), default="original", help="what each clip goes through first"
    )
    parser.add_argument("--out", type=Path, required=True, help="score file to write; .gz compresses it")


def run(args: argparse.Namespace) -> int:
    """Write the scores to `--out`; what keeps them from being written is told before anything is scored."""
    if args.out.is_dir():
        raise IsADirectoryError(f"Scores are written to a file. Received: {args.out}, a folder.")
    see_writable(args.out.parent)
    trials = score_corpus(args.store, args.model, args.corpus, args.partition, channel=args.channel)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_trials(args.out, trials)
    return 0


def as_telephone(path: Path) -> bytes:
    """An audio file as an 8 kHz mu-law WAV, first channel, as a telephone network would have carried it."""
    waveform = audio.decode(path, sample_rate=_TELEPHONE_RATE, channel=0).waveforms[0]
    wav = io.BytesIO()
    soundfile.write(wav, waveform, _TELEPHONE_RATE, format="WAV", subtype="ULAW")
    return wav.getvalue()


def prepare(detector: Detector, path: Path, *, channel: str, clip: audio.Clip | None = None) -> Prepared:
    """What a channel makes of a file, ready to be scored; `clip` is the file at the detector's rate, if at hand."""
    sample_rate = detector.manifest.input.sample_rate
    through = channels.named("original" if channel == "telephone" else channel)
    if clip is None or channel == "telephone":
        with clip_named(path):
            source = as_telephone(path) if channel == "telephone" else path
            clip = audio.decode(source, sample_rate=sample_rate, channel=0)
    return detector.prepare(
        through.apply(clip.waveforms[0], sample_rate=sample_rate),
        coded=clip.coded or through.coded,
        clipped_fraction=clip.clipped_fractions[0],
    )


def file_of(utterance: Utterance) -> Path:
    """Its file, or a ValueError where only its protocol was read."""
    if utterance.path is None:
        raise ValueError(f"An utterance to score has a file. Received: {utterance.id}, of a protocol alone.")
    return utterance.path


def ahead(make: Callable[[Item], Made], items: Iterable[Item], *, at_most: int) -> Iterator[Made]:
    """What `make` makes of each item, in order; made ahead in threads, but so many at most, as memory is limited."""
    with ThreadPoolExecutor() as pool:
        waiting = iter(items)
        made = [pool.submit(make, item) for item in islice(waiting, at_most)]
        while made:
            made += [pool.submit(make, item) for item in islice(waiting, 1)]
            yield made.pop(0).result()
