"""Utterances -> windows and labels, through the decoder, the trimming and the windowing that serve.

Every waveform is decoded once and kept in memory, as int16: ASVspoof 2019 LA's training partition takes 2.8 GB.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from model_store import audio, windows
from model_store.cores import available_cores
from training import non_speech
from training.augment import augment
from training.config import Config
from training.corpus import Partition, Utterance, clip_named, protocol_path, read_partition
from training.sampling import Sampler

Waveform = npt.NDArray[np.float32]

_FULL_SCALE = 32_767
AHEAD = 2  # batches of each worker that are made or wait while the model learns


class Batch(NamedTuple):
    """Windows to learn from, one of each clip drawn, at a random place, augmented."""

    waveforms: npt.NDArray[np.float32]  # (batch, window_samples)
    labels: npt.NDArray[np.float32]  # (batch, 1): 1 for bonafide, 0 for spoof; in between where windows are mixed
    spoken: npt.NDArray[np.bool_]  # (batch,): not of `non_speech`


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


def epoch_windows(recordings: Sequence[Recording], config: Config) -> int:
    """How many windows an epoch has."""
    bonafide = sum(r.utterance.key == "bonafide" for r in recordings)
    return config.fit.epoch_windows or 2 * min(bonafide, len(recordings) - bonafide)


def batches(
    recordings: Sequence[Recording], config: Config, *, epoch: int, workers: int | None = None
) -> Iterator[Batch]:
    """The batches of a training epoch, the same ones for the same configuration and epoch.

    They are made ahead, by `workers` threads: as many as there are cores, unless given. What they call (FFTs, codecs,
    resampling) leaves Python to others for most of its time. How many there are changes nothing but the speed.
    """
    sampler = Sampler([(r.utterance, r.corpus) for r in recordings], config.fit)
    size = config.fit.batch_size
    count = -(-epoch_windows(recordings, config) // size)

    def batch(number: int) -> Batch:
        rng = np.random.default_rng((config.fit.seed, epoch, number))
        waveforms, labels, by_voice = [], [], []
        for pair in sampler.draw(size // 2, rng):
            # An original and its copy: the same passage, changed alike, so that only the vocoder tells them apart.
            alike, place = sampler.is_copy(*pair), rng.random()
            seeds = [int(seed) for seed in rng.integers(2**63, size=2)]
            for index, label, seed in zip(pair, (1.0, 0.0), [seeds[0]] * 2 if alike else seeds, strict=True):
                window_rng = np.random.default_rng(seed)
                start = place if alike else window_rng.random()
                spoken = alike or label == 1 or window_rng.random() >= config.fit.not_speech
                window = _cut(recordings[index], config, place=start) if spoken else _not_speech(config, window_rng)
                waveforms.append(augment(window, config.augment, window_rng, sample_rate=config.input.sample_rate))
                labels.append(label)
                by_voice.append(spoken)
        mixed = mix(np.stack(waveforms), np.array(labels, np.float32)[:, None], rng, share=config.fit.mixup)
        return Batch(*mixed, spoken=np.array(by_voice))

    workers = workers or available_cores()
    with ThreadPoolExecutor(workers) as pool:
        numbers = iter(range(count))
        waiting: deque[Future[Batch]] = deque(pool.submit(batch, n) for n in islice(numbers, AHEAD * workers))
        while waiting:
            current = waiting.popleft().result()
            waiting.extend(pool.submit(batch, number) for number in islice(numbers, 1))
            yield current


def mix(
    waveforms: npt.NDArray[np.float32], labels: npt.NDArray[np.float32], rng: np.random.Generator, *, share: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mixup (Zhang et al. 2018, arXiv:1710.09412): a `share` of the windows, each blended with another of its batch.

    The larger part, 0.5 to 1 of a window at unit power, is its own; labels blend alike.
    """
    if share == 0:
        return waveforms, labels
    count = len(labels)
    own = np.where(rng.random((count, 1)) < share, rng.uniform(0.5, 1, (count, 1)), 1).astype(np.float32)
    other = rng.permutation(count)
    level = np.sqrt(np.mean(np.square(waveforms), axis=1, keepdims=True)) + 1e-7
    mixed = own * waveforms + (1 - own) * waveforms[other] * (level / level[other])
    return mixed, own * labels + (1 - own) * labels[other]


def cut(recording: Recording, config: Config) -> npt.NDArray[np.float32]:
    """The windows of a recording as they are served, (k, window_samples)."""
    shape = config.input
    return windows.cut(recording.waveform, window_samples=shape.window_samples, hop_samples=shape.hop_samples)


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


def _cut(recording: Recording, config: Config, *, place: float) -> Waveform:
    """One window of a recording; `place` in [0, 1] of where it may begin."""
    length = config.input.window_samples
    first = round(place * max(recording.samples.size - length, 0))
    part = _as_waveform(recording.samples[first : first + length])
    window: Waveform = windows.cut(part, window_samples=length, hop_samples=length)[0]
    return window


def _not_speech(config: Config, rng: np.random.Generator) -> Waveform:
    return non_speech.random_window(rng, samples=config.input.window_samples, sample_rate=config.input.sample_rate)
