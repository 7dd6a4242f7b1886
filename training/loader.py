"""Recordings -> the batches of an epoch, made by processes of their own while the model learns.

Not by threads: between FFTs and codecs, which leave Python to others, is as much that does not, and four threads make
no more windows than one.
"""

import ctypes
import math
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from model_store.cores import available_cores
from training import non_speech
from training.augment import augment
from training.config import Config
from training.corpus import NOT_SPEECH, Utterance
from training.dataset import Recording, Waveform, part
from training.sampling import Sampler
from training.workers import end_with_parent

AHEAD = 2  # batches of each worker that are made or wait while the model learns

# A server that has imported this module, and nothing that has threads, is what workers are forks of.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


class Batch(NamedTuple):
    """Windows to learn from, one of each clip drawn, at a random place, augmented."""

    waveforms: npt.NDArray[np.float32]  # (batch, window_samples)
    labels: npt.NDArray[np.float32]  # (batch, 1): 1 for bonafide, 0 for spoof; in between where windows are mixed
    spoken: npt.NDArray[np.bool_]  # (batch,): not of `non_speech`


class Maker:
    """Makes any batch of any epoch: the same one for the same recordings and configuration, whoever makes it."""

    def __init__(self, recordings: Sequence[Recording], config: Config) -> None:
        self._recordings, self._config = recordings, config
        self._sampler = Sampler([(r.utterance, r.corpus) for r in recordings], config.fit)
        self._sounds = [r for r in recordings if r.utterance.attack == NOT_SPEECH]
        codec = max(config.augment.codec, config.fit.not_speech_codec)  # some of them make of any sound a kind of voice
        self._on_sounds = config.augment.model_copy(update={"codec": codec})

    def batch(self, epoch: int, number: int) -> Batch:
        """Draw its clips, cut and augment them."""
        fit, sampler = self._config.fit, self._sampler
        rng = np.random.default_rng((fit.seed, epoch, number))
        waveforms, labels, by_voice = [], [], []
        for pair in sampler.draw(fit.batch_size // 2, rng):
            # An original and its copy: the same passage, changed alike, so that only the vocoder tells them apart.
            alike, place = sampler.is_copy(*pair), rng.random()
            seeds = [int(seed) for seed in rng.integers(2**63, size=2)]
            for index, label, seed in zip(pair, (1.0, 0.0), [seeds[0]] * 2 if alike else seeds, strict=True):
                window_rng = np.random.default_rng(seed)
                start = place if alike else window_rng.random()
                spoken = alike or label == 1 or window_rng.random() >= fit.not_speech
                window = part(self._recordings[index], self._config, place=start) if spoken else self._sound(window_rng)
                changes = self._config.augment if spoken else self._on_sounds
                rate = self._config.input.sample_rate
                waveforms.append(augment(window, changes, window_rng, sample_rate=rate))
                labels.append(label)
                by_voice.append(spoken)
        mixed = mix(np.stack(waveforms), np.array(labels, np.float32)[:, None], rng, share=fit.mixup)
        return Batch(*mixed, spoken=np.array(by_voice))

    def _sound(self, rng: np.random.Generator) -> Waveform:
        """What nobody spoke: as often recorded as made, where there are recordings."""
        shape = self._config.input
        if self._sounds and rng.random() < 0.5:
            recording = self._sounds[int(rng.integers(len(self._sounds)))]
            return non_speech.at_random_level(part(recording, self._config, place=rng.random()), rng)
        return non_speech.random_window(rng, samples=shape.window_samples, sample_rate=shape.sample_rate)


class Loader:
    """Epochs of batches, which are made ahead.

    Parameters
    ----------
    recordings : what is drawn from
    workers : processes; as many as there are cores, unless given. None at all with 0: batches are made where they are
        asked for. How many there are changes nothing but the speed.

    To be closed, or used in a ``with``: the workers end then, and otherwise with this process, however it ends.
    """

    def __init__(self, recordings: Sequence[Recording], config: Config, *, workers: int | None = None) -> None:
        self._count = -(-epoch_windows(recordings, config) // config.fit.batch_size)
        self._workers = available_cores() if workers is None else workers
        self._maker: Maker | None = None
        if self._workers == 0:
            self._maker = Maker(recordings, config)
            return
        # Shared: one copy of the samples for all workers, and windows that need not pass through a pipe.
        sizes = [recording.samples.size for recording in recordings]
        samples = _CONTEXT.RawArray("h", sum(sizes))
        np.concatenate([recording.samples for recording in recordings], out=np.ctypeslib.as_array(samples))
        shape = (AHEAD * self._workers, config.fit.batch_size // 2 * 2, config.input.window_samples)
        made = _CONTEXT.RawArray("f", math.prod(shape))
        self._made = np.ctypeslib.as_array(made).reshape(shape)  # of each batch that is made or waits
        clips = [(r.utterance, r.corpus, size) for r, size in zip(recordings, sizes, strict=True)]
        given = (samples, clips, config, made, shape)
        self._pool = ProcessPoolExecutor(self._workers, _CONTEXT, initializer=_begin, initargs=given)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the workers end."""
        if self._maker is None:
            self._pool.shutdown(cancel_futures=True)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, in order; of one epoch at a time."""
        if self._maker is not None:
            yield from (self._maker.batch(epoch, number) for number in range(self._count))
            return
        places = len(self._made)
        waiting: deque[Future[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]] = deque()
        try:
            for number in range(self._count + places):
                if number >= places:  # its place is free once the batch that has it was copied
                    labels, spoken = waiting.popleft().result()
                    yield Batch(np.array(self._made[number % places]), labels, spoken)
                if number < self._count:
                    waiting.append(self._pool.submit(_make, epoch, number))
        finally:
            wait([future for future in waiting if not future.cancel()])  # or they write where others do


def epoch_windows(recordings: Sequence[Recording], config: Config) -> int:
    """How many windows an epoch has."""
    spoken = [r.utterance.key for r in recordings if r.utterance.attack != NOT_SPEECH]
    return config.fit.epoch_windows or 2 * min(spoken.count("bonafide"), spoken.count("spoof"))


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


_maker: Maker  # of a worker
_made: npt.NDArray[np.float32]


def _begin(
    samples: "ctypes.Array[ctypes.c_short]",
    clips: Sequence[tuple[Utterance, str, int]],
    config: Config,
    made: "ctypes.Array[ctypes.c_float]",
    shape: tuple[int, ...],
) -> None:
    """What a worker does first."""
    global _maker, _made  # what a pool hands to its tasks, it would hand over for each
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    end_with_parent()
    everything = np.ctypeslib.as_array(samples)
    ends = np.cumsum([size for _, _, size in clips])
    recordings = [
        Recording(utterance, corpus, everything[end - size : end])
        for (utterance, corpus, size), end in zip(clips, ends, strict=True)
    ]
    _maker, _made = Maker(recordings, config), np.ctypeslib.as_array(made).reshape(shape)


def _make(epoch: int, number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Make a batch, put its windows in their place, and give back the rest of it."""
    waveforms, labels, spoken = _maker.batch(epoch, number)
    _made[number % len(_made)] = waveforms
    return labels, spoken
