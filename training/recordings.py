"""Clips in memory with what was recorded, drawn evenly from a partition and strung together by voice."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np

from model_store import audio
from model_store.detector import Waveform
from training.corpus import Utterance, clip_named
from training.features import decode_as_is


@dataclass(frozen=True, slots=True)
class Recording:
    """An utterance, its waveform at the rate asked for, and the rate, in Hz, of its file."""

    utterance: Utterance
    waveform: Waveform
    file_rate: int


def stratified(utterances: Sequence[Utterance], *, count: int, seed: int) -> list[Utterance]:
    """Draw utterances: as many bonafide as spoofs, each attack as often as the others, while there are any.

    With one seed, a smaller draw is the beginning of a larger one.
    """
    order = np.random.default_rng(seed).permutation(len(utterances))
    by_attack: dict[str | None, list[Utterance]] = {}
    for utterance in (utterances[i] for i in order):
        by_attack.setdefault(utterance.attack if utterance.key == "spoof" else None, []).append(utterance)
    bonafide = by_attack.pop(None, [])
    spoofs = chain(*zip_longest(*(by_attack[attack] for attack in sorted(by_attack, key=str))))
    both = chain(*zip_longest(bonafide, (spoof for spoof in spoofs if spoof is not None)))
    return [utterance for utterance in both if utterance is not None][:count]


def decode(utterances: Sequence[Utterance], *, sample_rate: int | None) -> list[Recording]:
    """Decode utterances that have a file, as the service would; each at the rate of its file where none is given."""

    def one(utterance: Utterance) -> Recording:
        if utterance.path is None:
            raise ValueError(f"An utterance to decode has a file. Received: {utterance.id}, of a protocol alone.")
        with clip_named(utterance.path):
            if sample_rate is None:
                return Recording(utterance, *decode_as_is(utterance.path))
            clip = audio.decode(utterance.path, sample_rate=sample_rate, channel=0)
        return Recording(utterance, clip.waveforms[0], clip.sample_rate)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, utterances))


def runs(recordings: Sequence[Recording], *, samples: int) -> list[list[Recording]]:
    """Runs of recordings of one speaker, attack and file rate, each of at least `samples` in all; none is used twice.

    In the order given; what is left of a voice after its last full run is not used.
    """
    by_voice: dict[tuple[str, str | None, int], list[Recording]] = {}
    complete = []
    for recording in recordings:
        voice = recording.utterance.speaker, recording.utterance.attack, recording.file_rate
        run = by_voice.setdefault(voice, [])
        run.append(recording)
        if sum(part.waveform.size for part in run) >= samples:
            complete.append(by_voice.pop(voice))
    return complete
