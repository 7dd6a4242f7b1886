"""Utterances -> waveforms and their windows, through the decoder, the trimming and the windowing that serve.

Every waveform is decoded once and kept in memory, as int16: ASVspoof 2019 LA's training partition takes 2.8 GB.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from model_store import audio, windows
from training.config import Config
from training.corpus import Partition, Utterance, clip_named, protocol_path, read_partition

Waveform = npt.NDArray[np.float32]

_FULL_SCALE = 32_767


@dataclass(frozen=True, slots=True)
class Recording:
    """An utterance and its samples, int16 (n,), at the rate of the model, without the silence around them."""

    utterance: Utterance
    corpus: str
    samples: npt.NDArray[np.int16]

    @property
    def waveform(self) -> Waveform:
        return _as_waveform(self.samples)

    def changed(self, change: Callable[[Waveform], Waveform]) -> "Recording":
        """The recording after a change to its waveform."""
        return replace(self, samples=_as_int16(change(self.waveform)))


def load(corpora: Sequence[Path], partition: Partition, *, sample_rate: int) -> list[Recording]:
    """Decode a partition of those corpora that have it.

    Raises
    ------
    CorpusError
        As `corpus.read_partition`; and for a file that cannot be scored, which cannot be learned from either.
    ValueError
        None of the corpora has the partition.
    """
    roots = [root for root in corpora if protocol_path(root, partition).exists()]
    if not roots:
        raise ValueError(f"One of the corpora has a {partition} partition. Received: {', '.join(map(str, corpora))}.")
    return [recording for root in roots for recording in _load(root, partition, sample_rate)]


@cache  # for those who train several times in one process
def _load(root: Path, partition: Partition, sample_rate: int) -> tuple[Recording, ...]:
    utterances = read_partition(root, partition)
    with ThreadPoolExecutor() as pool:
        samples = pool.map(lambda utterance: _decode(utterance, sample_rate=sample_rate), utterances)
        progress = tqdm(samples, total=len(utterances), desc=f"decode {partition}", unit="clip", disable=None)
        return tuple(Recording(u, str(root), s) for u, s in zip(utterances, progress, strict=True))


def cut(recording: Recording, config: Config) -> npt.NDArray[np.float32]:
    """The windows of a recording as they are served, (k, window_samples)."""
    shape = config.input
    return windows.cut(recording.waveform, window_samples=shape.window_samples, hop_samples=shape.hop_samples)


def part(recording: Recording, config: Config, *, place: float) -> Waveform:
    """A window of a recording; `place` in [0, 1] of where it may begin."""
    length = config.input.window_samples
    first = round(place * max(recording.samples.size - length, 0))
    samples = _as_waveform(recording.samples[first : first + length])
    window: Waveform = windows.cut(samples, window_samples=length, hop_samples=length)[0]
    return window


def _decode(utterance: Utterance, *, sample_rate: int) -> npt.NDArray[np.int16]:
    if utterance.path is None:
        raise ValueError(f"An utterance to decode has a file. Received: {utterance.id}, read from a protocol alone.")
    with clip_named(utterance.path):
        clip = audio.decode(utterance.path, sample_rate=sample_rate, channel=0)
    waveform, _ = windows.trim(clip.waveforms[0])
    return _as_int16(waveform)


def _as_waveform(samples: npt.NDArray[np.int16]) -> Waveform:
    return np.divide(samples, _FULL_SCALE, dtype=np.float32)


def _as_int16(waveform: Waveform) -> npt.NDArray[np.int16]:
    return np.round(np.clip(waveform, -1, 1) * _FULL_SCALE).astype(np.int16)
