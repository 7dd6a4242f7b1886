"""Ways from a mouth to the service, by name: what a clip goes through before it is scored, always in the same way.

The one list of them: `score` and `evaluate` offer these names, reports use their words, and training's
augmentation draws its codecs here. Those held out are not drawn unless a configuration names them, so that a report
can tell how a model does on a codec that training never heard.
"""

from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from training import codecs, g711, packets
from training.bands import band_limit, there_and_back

Waveform = npt.NDArray[np.float32]

_TELEPHONE_RATE = 8_000


class Change(Protocol):
    """What a channel does: float32 (n,) at `sample_rate`, in Hz, to as many samples, aligned."""

    def __call__(self, waveform: Waveform, /, *, sample_rate: int) -> Waveform: ...


class Channel(NamedTuple):
    """A channel: what it does, and in the words of a report what it is."""

    words: str
    apply: Change
    held_out: bool = False  # of training, by default
    coded: bool = True  # by a codec that loses something


def unchanged(waveform: Waveform, /, *, sample_rate: int) -> Waveform:  # noqa: ARG001 (the signature of all)
    """The waveform itself."""
    return waveform


def companded(waveform: Waveform, /, *, sample_rate: int, law: g711.Law) -> Waveform:
    """At 8 kHz through G.711."""
    return there_and_back(waveform, partial(g711.through, law=law), sample_rate=sample_rate, at_hz=_TELEPHONE_RATE)


def coded(waveform: Waveform, /, *, sample_rate: int, codec: codecs.Codec) -> Waveform:
    """At a codec's rate through it."""
    change = partial(codecs.through, codec=codec)
    return there_and_back(waveform, change, sample_rate=sample_rate, at_hz=codec.sample_rate)


def filed(waveform: Waveform, /, *, sample_rate: int, at_hz: int, container: str, codec: str) -> Waveform:
    """At a rate through a codec of libsndfile."""
    change = partial(codecs.through_file, sample_rate=at_hz, container=container, codec=codec)
    return there_and_back(waveform, change, sample_rate=sample_rate, at_hz=at_hz)


def over_packets(waveform: Waveform, /, *, sample_rate: int, rate: float, mean_burst: float) -> Waveform:
    """Packets lost and concealed: of every clip the same ones."""
    count = -(-waveform.size // round(packets.PACKET_SECONDS * sample_rate))
    lost = packets.lost_packets(count, np.random.default_rng(0), rate=rate, mean_burst=mean_burst)
    return packets.lose(waveform, lost, sample_rate=sample_rate)


def in_turn(waveform: Waveform, /, *, sample_rate: int, changes: tuple[Change, ...]) -> Waveform:
    """One after another."""
    for change in changes:
        waveform = change(waveform, sample_rate=sample_rate)
    return waveform


_MU_LAW = partial(companded, law="mu")
_A_LAW = partial(companded, law="a")
_GSM = partial(filed, at_hz=_TELEPHONE_RATE, container="WAV", codec="GSM610")
_BAND_300_3400 = partial(band_limit, low_hz=300, high_hz=3_400)

CHANNELS: dict[str, Channel] = {
    "original": Channel("as recorded", unchanged, coded=False),
    "telephone": Channel("through 8 kHz mu-law", _MU_LAW),
    "a_law": Channel("through 8 kHz A-law", _A_LAW),
    "landline": Channel("through 300 to 3,400 Hz and 8 kHz A-law", partial(in_turn, changes=(_BAND_300_3400, _A_LAW))),
    "gsm": Channel("through GSM 6.10", _GSM),
    "gsm_a_law": Channel("through GSM 6.10, then A-law", partial(in_turn, changes=(_GSM, _A_LAW))),
    "g722": Channel("through G.722 at 64 kbit/s", partial(coded, codec=codecs.G722)),
    "opus": Channel(
        "through Opus at 16 kHz, 16 kbit/s", partial(coded, codec=codecs.opus(sample_rate=16_000, bit_rate=16_000))
    ),
    "opus_low": Channel(
        "through Opus at 8 kHz, 8 kbit/s", partial(coded, codec=codecs.opus(sample_rate=8_000, bit_rate=8_000))
    ),
    "opus_high": Channel(
        "through Opus at 16 kHz, 32 kbit/s", partial(coded, codec=codecs.opus(sample_rate=16_000, bit_rate=32_000))
    ),
    "mp3": Channel("through MP3 at 32 kbit/s", partial(coded, codec=codecs.mp3(bit_rate=32_000))),
    "mp3_low": Channel("through MP3 at 16 kbit/s", partial(coded, codec=codecs.mp3(bit_rate=16_000))),
    "mp3_high": Channel("through MP3 at 64 kbit/s", partial(coded, codec=codecs.mp3(bit_rate=64_000))),
    "amr_nb": Channel("through AMR-NB at 12.2 kbit/s", partial(coded, codec=codecs.AMR_NB), held_out=True),
    "aac": Channel("through AAC at 24 kbit/s", partial(coded, codec=codecs.aac(bit_rate=24_000)), held_out=True),
    "vorbis": Channel(
        "through Ogg Vorbis", partial(filed, at_hz=16_000, container="OGG", codec="VORBIS"), held_out=True
    ),
    "ima_adpcm": Channel(
        "through 8 kHz IMA ADPCM",
        partial(filed, at_hz=_TELEPHONE_RATE, container="WAV", codec="IMA_ADPCM"),
        held_out=True,
    ),
    "packet_loss": Channel(
        "through 8 kHz mu-law, 5 % of packets lost",
        partial(in_turn, changes=(_MU_LAW, partial(over_packets, rate=0.05, mean_burst=2))),
    ),
    "narrowband": Channel("at 8 kHz", partial(there_and_back, at_hz=_TELEPHONE_RATE), coded=False),
    "resampled_11025": Channel("at 11,025 Hz", partial(there_and_back, at_hz=11_025), coded=False),
    "resampled_22050": Channel(
        "at 22,050 Hz, crudely", partial(there_and_back, at_hz=22_050, quality="QQ"), coded=False
    ),
    "band_300_3400": Channel("from 300 to 3,400 Hz", _BAND_300_3400, coded=False),
    "band_4000": Channel("up to 4 kHz", partial(band_limit, high_hz=4_000), coded=False),
    "band_7000": Channel("up to 7 kHz", partial(band_limit, high_hz=7_000), coded=False),
}

TRAINING_CODECS = (
    *("a_law", "landline", "gsm", "gsm_a_law", "g722"),
    *("opus", "opus_low", "opus_high", "mp3", "mp3_low", "mp3_high"),
)


def named(name: str) -> Channel:
    """A channel by its name, or a ValueError with the names that there are."""
    if name not in CHANNELS:
        raise ValueError(f"A channel is one of {', '.join(CHANNELS)}. Received: {name}.")
    return CHANNELS[name]
