"""Utterances -> windows and labels, through the decoder and the windowing that serve.

Every waveform is decoded once and kept in memory, as int16: ASVspoof 2019 LA's training partition takes 2.8 GB.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from model_store import audio, windows
from training.augment import augment
from training.config import Config
from training.corpus import Partition, Utterance, read_partition

Waveform = npt.NDArray[np.float32]
Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

_FULL_SCALE = 32_767
_PIECE = 64  # recordings scored in one call


@dataclass(frozen=True, slots=True)
class Recording:
    """An utterance and its samples, int16 (n,), at the rate of the model."""

    utterance: Utterance
    samples: npt.NDArray[np.int16]

    @property
    def waveform(self) -> Waveform:
        return np.divide(self.samples, _FULL_SCALE, dtype=np.float32)


def load(corpora: Sequence[Path], partition: Partition, *, sample_rate: int) -> list[Recording]:
    """Decode a partition of one or several corpora.

    Raises
    ------
    CorpusError
        As `corpus.read_partition`.
    model_store.errors.AudioError
        A file that cannot be scored cannot be learned from either.
    """
    utterances = [u for root in corpora for u in read_partition(root, partition)]
    with ThreadPoolExecutor() as pool:
        samples = pool.map(lambda u: _decode(u, sample_rate=sample_rate), utterances)
        progress = tqdm(samples, total=len(utterances), desc=f"decode {partition}", unit="clip", disable=None)
        return [Recording(u, s) for u, s in zip(utterances, progress, strict=True)]


def balanced(recordings: Sequence[Recording], rng: np.random.Generator) -> list[Recording]:
    """One epoch: every recording of the smaller class and as many, drawn at random, of the larger; shuffled."""
    bonafide = [r for r in recordings if r.utterance.key == "bonafide"]
    spoof = [r for r in recordings if r.utterance.key == "spoof"]
    if not bonafide or not spoof:
        raise ValueError(f"Training takes both classes. Received: {len(bonafide)} bonafide, {len(spoof)} spoof.")
    count = min(len(bonafide), len(spoof))
    drawn = [group[i] for group in (bonafide, spoof) for i in rng.choice(len(group), count, replace=False)]
    return [drawn[i] for i in rng.permutation(len(drawn))]


def batches(recordings: Sequence[Recording], config: Config, *, epoch: int) -> Iterator[Batch]:
    """The batches of a training epoch, the same ones for the same configuration and epoch.

    Yields
    ------
    waveforms : float32 (batch, window_samples)
        From each recording one window at a random place, augmented.
    labels : float32 (batch,)
        1 for bonafide, 0 for spoof.
    """
    order = balanced(recordings, np.random.default_rng((config.fit.seed, epoch)))
    size = config.fit.batch_size

    def window(index: int) -> Waveform:
        return _training_window(order[index], config, np.random.default_rng((config.fit.seed, epoch, index)))

    def batch(first: int) -> Batch:
        chosen = range(first, min(first + size, len(order)))
        labels = [order[i].utterance.key == "bonafide" for i in chosen]
        return np.stack([window(i) for i in chosen]), np.asarray(labels, np.float32)

    with ThreadPoolExecutor(max_workers=1) as pool:  # the next batch is made while the model learns from this one
        following = pool.submit(batch, 0)
        for first in range(size, len(order) + size, size):
            current = following.result()
            if first < len(order):
                following = pool.submit(batch, first)
            yield current


def clip_logits(model: keras.Model, recordings: Sequence[Recording], config: Config) -> npt.NDArray[np.float64]:
    """The mean logit of each recording's windows, (recordings,), in pieces so that memory stays bounded."""
    means: list[float] = []
    for first in range(0, len(recordings), _PIECE):
        cuts = [
            windows.cut(r.waveform, window_samples=config.input.window_samples, hop_samples=config.input.hop_samples)
            for r in recordings[first : first + _PIECE]
        ]
        logits = np.asarray(model.predict_on_batch(np.concatenate(cuts)), np.float64)
        ends = np.cumsum([len(cut) for cut in cuts])
        means += [float(part.mean()) for part in np.split(logits, ends[:-1])]
    return np.array(means)


def _decode(utterance: Utterance, *, sample_rate: int) -> npt.NDArray[np.int16]:
    if utterance.path is None:
        raise ValueError(f"An utterance to decode has a file. Received: {utterance.id}, read from a protocol alone.")
    waveform = audio.decode(utterance.path, sample_rate=sample_rate, channel=0).waveforms[0]
    return np.round(np.clip(waveform, -1, 1) * _FULL_SCALE).astype(np.int16)


def _training_window(recording: Recording, config: Config, rng: np.random.Generator) -> Waveform:
    length = config.input.window_samples
    first = rng.integers(0, max(recording.samples.size - length, 0) + 1)
    part = recording.waveform[first : first + length]
    window = windows.cut(part, window_samples=length, hop_samples=length)[0]
    return augment(window, config.augment, rng, sample_rate=config.input.sample_rate)
