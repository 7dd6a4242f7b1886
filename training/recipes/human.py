"""`open_speech human`: recordings of people out of Debian's packages -> raw clips and their index."""

import io
import subprocess
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from training.corpus import CorpusError
from training.recipes.cutting import Waveform, as_clips
from training.recipes.game_archives import queen
from training.recipes.people import TABLE, Voices
from training.recipes.raw_index import Raw, write_index

# What a file without a header holds, and the bytes before it.
_HEADERLESS = {
    ".gsm": ({"samplerate": 8_000, "subtype": "GSM610"}, 0),
    ".raw": ({"samplerate": 16_000, "subtype": "PCM_16"}, 0),
    ".als": ({"samplerate": 11_025, "subtype": "PCM_U8"}, 32),
}
_ARCHIVE = "queen.1c"
_CLIPPED = 0.999
_MOST_CLIPPED, _MOST_ZEROS = 0.01, 0.5  # of the samples
_QUIETEST_RMS = 10 ** (-66 / 20)
_HIGH_HZ = 7_000
_HIGHEST_RATE = 48_000


_File = tuple[Voices, str, Path]  # the row it is of, its path below the package, the file or the archive it is in


@dataclass(frozen=True, slots=True)
class Heard:
    """What the samples of a clip say."""

    origin: str
    language: str
    speaker: str
    seconds: float
    sample_rate: int
    rms: float
    zeros: float  # share of samples that are exactly 0
    clipped: float  # share of samples at full scale
    high: float  # share of energy above 7 kHz

    @property
    def broken(self) -> bool:
        """Clipped, empty, or too quiet to be heard."""
        return self.clipped > _MOST_CLIPPED or self.zeros > _MOST_ZEROS or self.rms < _QUIETEST_RMS


@dataclass(slots=True)
class _Made:
    rows: list[Raw] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    broken: int = 0


def collect(out: Path, *, work: Path, most: int, seed: int, jobs: int, table: Sequence[Voices] = TABLE) -> list[Heard]:
    """Download, unpack, decode, cut and join.

    Parameters
    ----------
    out : Path
        Gets mono FLAC files at the recordings' own rates, and ``index.csv``.
    work : Path
        Where the packages are, or go.
    most : int
        Clips of a speaker.

    Returns
    -------
    list of Heard
        Of what was kept; prints how many were broken.
    """
    for package in dict.fromkeys(voices.package for voices in table):
        fetch(package, work)
    by_speaker: dict[str, list[_File]] = defaultdict(list)
    for voices in table:
        root = work / voices.package
        for path in sorted(root.rglob("*")):
            names = [str(path.relative_to(root))] if path.is_file() else []
            if path.name == _ARCHIVE:
                names = [f"{names[0]}/{name}" for name, _ in queen(path)]
            for name in names:
                if (found := voices.read(name)) is not None:
                    by_speaker[found[1]].append((voices, name, path))
    (out / "flac").mkdir(parents=True, exist_ok=True)
    make = partial(_of_speaker, out=out, most=most, seed=seed)
    with ProcessPoolExecutor(jobs) as pool:
        speakers = sorted(by_speaker)
        made = list(tqdm(pool.map(make, speakers, [by_speaker[name] for name in speakers]), total=len(speakers)))
    write_index(out, (row for of in made for row in of.rows))
    if broken := sum(of.broken for of in made):
        print(f"{broken} clips were clipped, empty or too quiet, and are left out.")
    return [heard for of in made for heard in of.heard]


def fetch(package: str, work: Path) -> None:
    """Download a package with apt-get and unpack it below `work`, unless it is there.

    Raises
    ------
    CorpusError
        One of the two programs failed; what it said is on standard error.
    """
    if (work / package).is_dir():
        return
    work.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", package], cwd=work, check=True)  # noqa: S603, S607
        (archive,) = work.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(work / package)], check=True)  # noqa: S603, S607
    except subprocess.CalledProcessError as error:
        rule = "A package is downloaded and unpacked by apt-get and dpkg-deb"
        raise CorpusError(f"{rule}. Received: {package}, at which {error.cmd[0]} failed.") from error


def decode(data: bytes, suffix: str) -> tuple[Waveform, int]:
    """A recording as float32 (n,), its channels averaged, and its rate in Hz."""
    how, skipped = _HEADERLESS.get(suffix.lower(), ({}, 0))
    options = {"format": "RAW", "channels": 1, **how} if how else {}
    samples, sample_rate = soundfile.read(io.BytesIO(data[skipped:]), dtype="float32", always_2d=True, **options)
    return samples.mean(axis=1), int(sample_rate)


def listen(row: Raw, clip: Waveform, *, sample_rate: int) -> Heard:
    """Measure a clip."""
    power = np.square(np.abs(np.fft.rfft(clip)))
    high = power[np.fft.rfftfreq(clip.size, 1 / sample_rate) >= _HIGH_HZ].sum() / max(power.sum(), 1e-12)
    return Heard(
        origin=row.origin,
        language=row.language,
        speaker=row.speaker,
        seconds=clip.size / sample_rate,
        sample_rate=sample_rate,
        rms=float(np.sqrt(np.mean(np.square(clip)))),
        zeros=float(np.mean(clip == 0)),
        clipped=float(np.mean(np.abs(clip) >= _CLIPPED)),
        high=float(high),
    )


def report(heard: Sequence[Heard]) -> str:
    """A table of the sources, by language."""
    groups: dict[tuple[str, str], list[Heard]] = defaultdict(list)
    for clip in heard:
        groups[clip.origin, clip.language].append(clip)
    lines = [f"{'source':30} lang clips speakers seconds  RMS dB  zeros  >7 kHz  rates"]
    for (origin, language), clips in sorted(groups.items()):
        rms_db = 20 * np.log10(np.median([clip.rms for clip in clips]))
        zeros, high = (float(np.median([getattr(clip, name) for clip in clips])) for name in ("zeros", "high"))
        rates = ", ".join(str(rate) for rate, _ in Counter(clip.sample_rate for clip in clips).most_common())
        speakers, seconds = len({clip.speaker for clip in clips}), sum(clip.seconds for clip in clips)
        lines.append(
            f"{origin:30} {language:4} {len(clips):5} {speakers:8} {seconds:7.0f} {rms_db:7.1f} {100 * zeros:5.1f}% "
            f"{100 * high:6.2f}%  {rates}"
        )
    return "\n".join(lines)


def _of_speaker(speaker: str, files: Sequence[_File], *, out: Path, most: int, seed: int) -> _Made:
    """Write up to `most` clips of a speaker, of files in an order that is drawn."""
    rng = np.random.default_rng([seed, *speaker.encode()])
    order = [files[number] for number in rng.permutation(len(files))]
    made = _Made()
    clips = [
        [(voices, name, clip, sample_rate) for name, clip in as_clips(recordings, rng, sample_rate=sample_rate)]
        for (voices, sample_rate), recordings in _alike(order).items()
    ]
    for voices, name, clip, sample_rate in (found for turn in zip_longest(*clips) for found in turn if found):
        path = f"flac/{speaker}_{len(made.rows):04}.flac"
        language, _ = voices.read(name) or ("", "")
        row = Raw(path, "bonafide", "-", speaker, language, "human", f"{voices.package}/{name}", voices.licence)
        heard = listen(row, clip, sample_rate=sample_rate)
        if heard.broken:
            made.broken += 1
            continue
        soundfile.write(out / path, clip, sample_rate, subtype="PCM_24")
        made.rows.append(row)
        made.heard.append(heard)
        if len(made.rows) == most:
            break
    return made


def _alike(files: Sequence[_File]) -> dict[tuple[Voices, int], list[tuple[str, Waveform]]]:
    """Decoded recordings by row of the table and rate: what is joined is alike. What cannot be decoded is left out."""
    groups: dict[tuple[Voices, int], list[tuple[str, Waveform]]] = defaultdict(list)
    archives: dict[Path, dict[str, bytes]] = {}
    met: set[bytes] = set()
    for voices, name, path in files:
        if path.name == _ARCHIVE:
            if path not in archives:
                archives[path] = dict(queen(path))
            data, suffix = archives[path][name.rpartition("/")[2]], ""
        else:
            data, suffix = path.read_bytes(), path.suffix
        if data in met:  # the same recording by another name
            continue
        met.add(data)
        try:
            waveform, sample_rate = decode(data, suffix)
        except (soundfile.LibsndfileError, ValueError):
            continue
        if sample_rate > _HIGHEST_RATE:  # a wrong header
            continue
        groups[voices, sample_rate].append((name, waveform))
    return groups
