"""Small made corpora in the layout of ASVspoof 2019 LA, for tests that need audio but no real speech."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from training.corpus import KEYS, Key, Partition, protocol_path

Waveform = npt.NDArray[np.float64]

LEADING_SECONDS = (0.05, 0.15)


def make_corpus(
    root: Path,
    *,
    partitions: Sequence[Partition] = ("train", "dev"),
    speakers: int = 6,
    clips: int = 2,
    attacks: Sequence[str] = ("A01", "A02"),
    sample_rate: int = 16_000,
    leading_seconds: Mapping[Key, tuple[float, float]] | None = None,
    spoof: Callable[[Waveform], Waveform] | None = None,
    seed: int = 0,
) -> Path:
    """Write a corpus of made speech of 1.2 to 2 s; by default nothing but the label tells the classes apart.

    Parameters
    ----------
    root : Path
        Becomes the ``LA`` folder.
    partitions : sequence of str
        Each has its own speakers.
    speakers, clips : int
        In each partition so many speakers, each with so many clips of either class.
    attacks : sequence of str
        The spoofs' attacks, in turn.
    leading_seconds : mapping of class to (shortest, longest), optional
        Of the pause before speech. What one clip has more of there, it has less of in its middle.
    spoof : function, optional
        What makes a spoof of its waveform, float64 (n,).
    """
    rng = np.random.default_rng(seed)
    for partition in partitions:
        (root / f"ASVspoof2019_LA_{partition}" / "flac").mkdir(parents=True)
        (root / "ASVspoof2019_LA_cm_protocols").mkdir(exist_ok=True)
        lines = []
        for number in range(speakers * clips * len(KEYS)):
            key = KEYS[number % 2]
            speaker = f"{partition}_{number // (2 * clips):02}"
            pitch_hz = 100 + 10 * (number // (2 * clips) % 12)
            leading = rng.uniform(*(leading_seconds or {}).get(key, LEADING_SECONDS))
            waveform = made_speech(rng, pitch_hz=pitch_hz, leading_seconds=leading, sample_rate=sample_rate)
            if key == "spoof" and spoof is not None:
                waveform = spoof(waveform)
            name = f"MADE_{partition[0].upper()}_{number:04}"
            soundfile.write(root / f"ASVspoof2019_LA_{partition}" / "flac" / f"{name}.flac", waveform, sample_rate)
            lines.append(
                f"{speaker} {name} - {'-' if key == 'bonafide' else attacks[number // 2 % len(attacks)]} {key}"
            )
        protocol_path(root, partition).write_text("\n".join(lines) + "\n")
    return root


def made_speech(
    rng: np.random.Generator, *, pitch_hz: float, leading_seconds: float, sample_rate: int = 16_000
) -> Waveform:
    """Two voiced phrases with syllables, in 0.6 s of pauses and faint noise: float64 (n,).

    The harmonics of a pitch that glides, louder around two formants, in bursts of an eighth of a second.
    """
    phrases = rng.uniform(0.3, 0.7, size=2)
    trailing_seconds = rng.uniform(*LEADING_SECONDS)
    starts = np.array([leading_seconds, 0.6 - trailing_seconds + phrases[0]])
    seconds = np.arange(round((0.6 + phrases.sum()) * sample_rate)) / sample_rate
    phase = 2 * np.pi * pitch_hz * (seconds + 0.02 * np.sin(2 * np.pi * rng.uniform(1, 2) * seconds))
    formants_hz = rng.uniform([300, 1200], [800, 2400])
    harmonics = np.arange(1, int(0.45 * sample_rate / pitch_hz))
    gains = np.exp(-np.square((harmonics[:, np.newaxis] * pitch_hz - formants_hz) / 300)).sum(axis=1) + 0.02
    fundamental = np.exp(1j * phase)
    voice, harmonic = np.zeros(seconds.size), np.ones(seconds.size, np.complex128)
    for gain in gains:  # each the one before, turned on by the fundamental: five times faster than as many sines
        harmonic *= fundamental
        voice += gain * harmonic.imag
    speaking = sum(
        (start <= seconds) & (seconds < start + length) for start, length in zip(starts, phrases, strict=True)
    )
    syllables = 0.2 + 0.8 * np.square(np.sin(np.pi * 4 * seconds + rng.uniform(0, np.pi)))
    speech: Waveform = voice * syllables * speaking
    speech *= 10 ** (rng.uniform(-28, -20) / 20) / np.sqrt(np.mean(np.square(speech)))
    return speech + rng.normal(scale=10 ** (-75 / 20), size=seconds.size)
