"""What a clip came through, as far as it shows: the class that its calibration is chosen by.

The same voice gives other logits through another channel, so each class has a calibration of its own. A class follows
from the clip alone, never from who sent it: a recording that was coded once and then saved as PCM counts by its band.
"""

import re
from typing import Literal, get_args

ChannelClass = Literal["wideband", "narrowband", "coded"]
CHANNEL_CLASSES: tuple[ChannelClass, ...] = get_args(ChannelClass)

# Codecs that keep each sample, under libsndfile's names and FFmpeg's, whose pcm_mulaw and pcm_alaw do not.
_LOSSLESS = r"PCM_(?!ALAW|MULAW).*|FLOAT|DOUBLE|FLAC|ALAC.*"
_NARROWBAND_DB = -60.0  # a telephone's band leaves dither or the resampler's images; a voice's hiss is 20 dB above


def is_coded(codec: str) -> bool:
    """Whether a codec changes the samples: ``ULAW``, ``GSM610``, ``MP3``, ``OPUS``, ... do; PCM and FLAC do not."""
    return not re.fullmatch(_LOSSLESS, codec)


def channel_class(*, coded: bool, above_4khz_db: float) -> ChannelClass:
    """The class of a clip.

    Parameters
    ----------
    coded : bool
        Whether the clip's own codec `is_coded`. It decides, whatever the band: a codec's noise lies within it.
    above_4khz_db : float
        Energy above 4 kHz, in dB of the whole, as `speech.measure` finds it; -inf where there is none.

    Examples
    --------
    >>> channel_class(coded=False, above_4khz_db=-38.0)
    'wideband'
    >>> channel_class(coded=False, above_4khz_db=-92.0)
    'narrowband'
    >>> channel_class(coded=is_coded("ULAW"), above_4khz_db=-92.0)
    'coded'
    """
    if coded:
        return "coded"
    return "narrowband" if above_4khz_db < _NARROWBAND_DB else "wideband"
