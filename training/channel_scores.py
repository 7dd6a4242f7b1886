"""A partition through many channels -> trials of each: a clip is decoded once, and scored with what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from tqdm import tqdm

from model_store import audio
from model_store.detector import Detector, Prepared
from training.corpus import Utterance, clip_named
from training.score import ahead, file_of, prepare
from training.trials import Trial

_AT_A_TIME = 8  # clips, each through all channels


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What a file says of itself."""

    sample_rate: int  # Hz
    seconds: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What a detector said of a partition."""

    trials: dict[str, list[Trial]]  # by channel, each in the protocol's order
    inconclusive: dict[str, int]  # by channel: clips that the service would call so
    facts: dict[str, ClipFacts]  # by utterance


def hear(detector: Detector, utterances: Sequence[Utterance], names: Sequence[str], *, title: str = "score") -> Heard:
    """Score utterances through each of `names`, channels of `training.channels.CHANNELS`.

    A channel's trials are those that `training.score.score_utterances` gives for it (1e-4).

    Parameters
    ----------
    title : str
        Of the progress bar.
    """
    rate = detector.manifest.input.sample_rate

    def make(utterance: Utterance) -> tuple[ClipFacts, list[Prepared]]:
        path = file_of(utterance)
        with clip_named(path):
            clip = audio.decode(path, sample_rate=rate, channel=0)
        through = [prepare(detector, path, channel=name, clip=clip) for name in names]
        return ClipFacts(clip.sample_rate, clip.duration_seconds), through

    heard = Heard({name: [] for name in names}, dict.fromkeys(names, 0), {})
    made = ahead(make, utterances, at_most=2 * _AT_A_TIME)
    waiting = iter(utterances)
    with tqdm(total=len(utterances), desc=title, unit="clip", disable=None) as progress:
        while group := list(islice(made, _AT_A_TIME)):
            scores = iter(detector.score_prepared([clip for _, through in group for clip in through]))
            for facts, _ in group:
                u = next(waiting)
                heard.facts[u.id] = facts
                for name, score in zip(names, islice(scores, len(names)), strict=True):
                    heard.trials[name].append(Trial(u.speaker, u.id, u.attack, u.key, score.value, score.channel_class))
                    heard.inconclusive[name] += bool(score.reasons)
            progress.update(len(group))
    return heard
