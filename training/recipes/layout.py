"""`open_speech layout`: folders of raw clips -> a corpus in the layout of ASVspoof 2019 LA, each clip treated alike.

What is done to a clip is drawn without regard to its label, so that it tells nothing of it: silence is trimmed at both
ends, it is cut at random, some go through MP3, some are brought to 8 kHz, the level is drawn, the ends are faded,
dither is added. Where the clips have a history that differs, it is made alike: as many spoofs go through Vorbis first
as there are recordings of people that came in a lossy file, and recordings below 16 kHz fill no more than a share of
the 8 kHz clips of their class, since elsewhere their missing band would tell them apart.
"""

import csv
import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import soundfile
from tqdm import tqdm

from training import codecs
from training.bands import resample
from training.corpus import CorpusError, Key, Utterance, write_protocol
from training.recipes.cutting import Waveform, fade, trim
from training.recipes.raw_index import Raw, read_index

COLUMNS = [
    *("id", "partition", "label", "attack", "speaker", "sample_rate"),
    *("seconds", "language", "coding", "generator", "source", "licence"),
]
WIDE_HZ, NARROW_HZ = 16_000, 8_000
LEVEL_DB, LEVEL_SD_DB = -30.0, 4.0  # dBFS RMS

_SECONDS = (1.0, 3.4)
_NARROW_SHARE = 0.35
_NATIVE_SHARE = 0.27  # of a class: recordings that are narrowband themselves
_MP3_SHARE = 0.25
_MP3_BIT_RATES = (32_000, 48_000, 64_000, 96_000)
_LOUDEST = 0.98
_STEP = 2.0**-15  # of 16 bits
_FLAC = "LA/ASVspoof2019_LA_train/flac"
_PROTOCOL = "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt"


@dataclass(frozen=True, slots=True)
class Task:
    """A clip to make, and what is to be done to it."""

    id: str
    raw: Raw
    narrow: bool
    vorbis: bool  # before anything else
    bit_rate: int | None  # of MP3, in bit/s
    seed: tuple[int, int]


def lay_out(
    folders: Sequence[Path], out: Path, *, most_of_speaker: int, most_of_source: int, seed: int, jobs: int
) -> str:
    """Write the corpus and its provenance.csv.

    Parameters
    ----------
    folders : sequence of Path
        Each with ``index.csv``; see `raw_index.Raw`.
    most_of_speaker, most_of_source : int
        Clips, drawn at random, of one speaker of a class and of one source.

    Returns
    -------
    str
        What was written, and what was left out.

    Raises
    ------
    CorpusError
        An index at fault, or `out` is there already.
    """
    if (out / "LA").exists():
        raise CorpusError(f"A corpus is laid out in a new folder. Received: {out}, which holds one.")
    rows = [row for folder in folders for row in read_index(folder)]
    readable = [(row, rate) for row in rows if (rate := _sample_rate(row)) is not None]
    rng = np.random.default_rng(seed)
    drawn = [readable[number] for number in rng.permutation(len(readable))]
    for most, of in ((most_of_speaker, _speaker), (most_of_source, _source)):
        drawn = _first(drawn, most, of)
    tasks = plan(drawn, seed=seed)
    (out / _FLAC).mkdir(parents=True)
    (out / _PROTOCOL).parent.mkdir(parents=True)
    # Not forked: a fork of a process with threads can wait for ever.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        made = list(tqdm(pool.map(partial(_make, out=out), tasks, chunksize=16), total=len(tasks)))
    kept = [row for row in made if row is not None]
    with (out / "provenance.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    write_protocol(
        out / _PROTOCOL,
        (
            Utterance(
                row["speaker"], row["id"], None if row["attack"] == "-" else row["attack"], cast(Key, row["label"])
            )
            for row in kept
        ),
    )
    return _summary(kept, broken=len(rows) - len(readable) + len(tasks) - len(kept), rest=len(readable) - len(tasks))


def plan(drawn: Sequence[tuple[Raw, int]], *, seed: int) -> list[Task]:
    """What is done to which clip: the same shares of each class, and as nearly as they divide of each attack.

    Parameters
    ----------
    drawn : sequence of (Raw, int)
        With its rate in Hz, in random order.
    """
    rng = np.random.default_rng([seed, 1])
    tasks: list[Task] = []
    lossy_share = 0.0  # of the recordings of people, which are looked at first
    for label in ("bonafide", "spoof"):
        of_class = [(raw, rate) for raw, rate in drawn if raw.label == label]
        wide = [raw for raw, rate in of_class if rate >= WIDE_HZ]
        native = [raw for raw, rate in of_class if rate < WIDE_HZ]
        if wide:
            native = _in_turn(native)[: round(len(wide) * _NATIVE_SHARE / (1 - _NATIVE_SHARE))]
        wanted = max(0, round(_NARROW_SHARE * (len(wide) + len(native))) - len(native))
        order = _spread(wide)
        narrow = {id(order[number * len(order) // wanted]) for number in range(wanted)}
        narrow |= {id(raw) for raw in native}
        clips = _spread([*wide, *native])
        lossy = sum(raw.lossy for raw in clips)
        if label == "bonafide":
            lossy_share = lossy / max(1, len(clips))
        vorbis = _some(rng, len(clips), max(0, round(lossy_share * len(clips)) - lossy))
        coded = _some(rng, len(clips), round(_MP3_SHARE * len(clips)))
        for number, raw in enumerate(clips):
            bit_rate = int(rng.choice(_MP3_BIT_RATES)) if number in coded else None
            tasks.append(Task("", raw, id(raw) in narrow, number in vorbis, bit_rate, (seed, 0)))
    shuffled = [tasks[number] for number in rng.permutation(len(tasks))]
    return [replace(task, id=f"OS_T_{1_000_001 + number}", seed=(seed, number)) for number, task in enumerate(shuffled)]


def treat(
    waveform: Waveform, rng: np.random.Generator, *, sample_rate: int, narrow: bool, bit_rate: int | None
) -> tuple[Waveform, int]:
    """A clip as it goes into the corpus.

    Parameters
    ----------
    waveform : float32 (n,)

    Returns
    -------
    float32 (m,), in whole steps of 16 bits, and its rate in Hz

    Raises
    ------
    ValueError
        Less than 1 s is left when silence is trimmed, or it is not a number.
    """
    if not np.isfinite(waveform).all():
        raise ValueError("The samples of a clip are finite. Received: some that are not.")
    clip = trim(resample(waveform, sample_rate, WIDE_HZ), sample_rate=WIDE_HZ)
    shortest, longest = (round(seconds * WIDE_HZ) for seconds in _SECONDS)
    if clip.size < shortest:
        raise ValueError(f"A clip has at least {_SECONDS[0]} s between its silences. Received: {clip.size} samples.")
    samples = min(clip.size, int(rng.integers(shortest, longest, endpoint=True)))
    start = int(rng.integers(clip.size - samples, endpoint=True))
    clip = clip[start : start + samples]
    level = 10 ** (rng.normal(LEVEL_DB, LEVEL_SD_DB) / 20)
    if bit_rate is not None:
        clip = codecs.through(clip / max(1.0, float(np.abs(clip).max())), codecs.mp3(bit_rate=bit_rate))
    rate = NARROW_HZ if narrow else WIDE_HZ
    clip = resample(clip, WIDE_HZ, rate)
    clip = clip * (level / max(float(np.sqrt(np.mean(np.square(clip)))), 1e-9))
    clip = fade(clip * min(1.0, _LOUDEST / float(np.abs(clip).max())), sample_rate=rate)
    dithered = clip / _STEP + rng.uniform(-0.5, 0.5, (2, clip.size)).sum(axis=0)
    return (np.round(dithered) * _STEP).astype(np.float32), rate


def _make(task: Task, *, out: Path) -> dict[str, str] | None:
    """Write a clip; its row of provenance.csv, or None where the file is broken."""
    try:
        samples, sample_rate = soundfile.read(task.raw.path, dtype="float32", always_2d=True)
        waveform = samples.mean(axis=1)
        if task.vorbis:
            waveform = codecs.through_file(waveform, sample_rate=sample_rate, container="OGG", codec="VORBIS")
        clip, rate = treat(
            waveform,
            np.random.default_rng(task.seed),
            sample_rate=sample_rate,
            narrow=task.narrow,
            bit_rate=task.bit_rate,
        )
    except (soundfile.LibsndfileError, ValueError):
        return None
    soundfile.write(out / _FLAC / f"{task.id}.flac", clip, rate, subtype="PCM_16")
    raw = task.raw
    values = (
        *(task.id, "train", raw.label, raw.attack or "-", _word(raw.speaker), str(rate), f"{clip.size / rate:.3f}"),
        *(raw.language, _added(task), raw.generator, raw.source, raw.licence),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _added(task: Task) -> str:
    return " and ".join([*(["Vorbis"] if task.vorbis else []), *(["MP3"] if task.bit_rate else [])]) + (
        " added" if task.vorbis or task.bit_rate else ""
    )


def _some(rng: np.random.Generator, count: int, wanted: int) -> set[int]:
    return set(rng.permutation(count)[:wanted].tolist())


def _sample_rate(row: Raw) -> int | None:
    try:
        return int(soundfile.info(row.path).samplerate)
    except (soundfile.LibsndfileError, OSError):
        return None


def _first(drawn: Sequence[tuple[Raw, int]], most: int, of: Callable[[Raw], tuple[str, ...]]) -> list[tuple[Raw, int]]:
    """The first `most` of each group."""
    met: Counter[tuple[str, ...]] = Counter()
    kept = []
    for raw, rate in drawn:
        met[of(raw)] += 1
        if met[of(raw)] <= most:
            kept.append((raw, rate))
    return kept


def _in_turn(rows: Sequence[Raw]) -> list[Raw]:
    """One of each source, another of each, and so on."""
    met: Counter[str] = Counter()
    turns = []
    for raw in rows:
        turns.append(met[raw.origin])
        met[raw.origin] += 1
    return [rows[number] for number in np.argsort(turns, kind="stable")]


def _spread(rows: Sequence[Raw]) -> list[Raw]:
    """By attack, each in the order that it had: evenly spaced ones are then a share of each."""
    groups: dict[str, list[Raw]] = defaultdict(list)
    for raw in rows:
        groups[raw.attack].append(raw)
    return [raw for _, group in sorted(groups.items()) for raw in group]


def _speaker(raw: Raw) -> tuple[str, ...]:
    return raw.label, raw.origin, raw.speaker


def _source(raw: Raw) -> tuple[str, ...]:
    return raw.label, raw.origin


def _word(text: str) -> str:
    """A speaker as a protocol can name it, without spaces."""
    return "_".join(text.split()) or "-"


def _summary(kept: Sequence[dict[str, str]], *, broken: int, rest: int) -> str:
    lines = []
    for label in ("bonafide", "spoof"):
        rows = [row for row in kept if row["label"] == label]
        if rows:
            speakers, sources = (len({row[name].split("/")[0] for row in rows}) for name in ("speaker", "source"))
            hours = sum(float(row["seconds"]) for row in rows) / 3600
            narrow = sum(row["sample_rate"] == str(NARROW_HZ) for row in rows) / len(rows)
            coded = sum("MP3" in row["coding"] for row in rows) / len(rows)
            lines.append(
                f"{label}: {len(rows)} clips of {speakers} speakers and {sources} sources, {hours:.2f} h, "
                f"{narrow:.0%} at 8 kHz, {coded:.0%} through MP3"
            )
    return "\n".join([*lines, f"{rest} left out by the caps, {broken} broken or too short."])
