"""The vocoder of Opus: a network that makes speech of cepstra and pitch, 2.5 ms at a time, of what it has just made.

Reference: J.-M. Valin, A. Mustafa, J. Büthe, "Very low complexity speech synthesis using framewise autoregressive GAN
(FARGAN) with pitch prediction", 2024 (arXiv:2405.21069). In calls it conceals lost packets, and speaks the redundancy
that is sent for them.

No package carries its program. The source of Opus 1.5 and later, as that of Debian 13's package `opus`, builds it, with
its weights: `./configure --enable-dred && make fargan_demo`.
"""

import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.corpus import CorpusError

Waveform = npt.NDArray[np.float32]

SAMPLE_RATE, HOP_SAMPLES = 16_000, 160
_HEARD_FIRST = 5  # frames, which it begins with and makes nothing of
_DELAY = 240  # samples, from what it hears to what it makes


def program(environment: Path) -> Path:
    """Where `fargan_demo` is looked for."""
    return environment / "bin" / "fargan_demo"


def prepare(environment: Path) -> None:
    """See that the program is there.

    Raises
    ------
    CorpusError
        It is not.
    """
    if not program(environment).exists():
        raise CorpusError(
            "fargan is a program that the source of Opus 1.5 or later builds, by ./configure --enable-dred && make "
            f"fargan_demo. Received: no {program(environment)}."
        )


def speak(waveform: Waveform, environment: Path) -> Waveform:
    """Make a waveform again.

    Parameters
    ----------
    waveform : float32 (n,), 16 kHz, its peak below 1
    environment
        As `prepare` has seen it.

    Returns
    -------
    float32 (about n,), 16 kHz

    Raises
    ------
    ValueError
        The program failed.
    """
    padded = np.pad(waveform, (_HEARD_FIRST * HOP_SAMPLES, _DELAY + HOP_SAMPLES))
    heard = _run(environment, "-features", np.rint(padded * 32_767).astype("<i2").tobytes())
    made = _run(environment, "-fargan-synthesis", heard)
    return np.asarray(np.frombuffer(made, "<i2")[_DELAY:] / np.float32(32_768), np.float32)


def _run(environment: Path, mode: str, given: bytes) -> bytes:
    command = [str(program(environment)), mode, "/dev/stdin", "/dev/stdout"]
    try:
        return subprocess.run(command, input=given, capture_output=True, check=True).stdout  # noqa: S603
    except subprocess.CalledProcessError as error:
        raise ValueError(f"fargan_demo makes sound. Received: status {error.returncode}.") from None
