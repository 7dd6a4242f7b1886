"""G.711 against the tables of the Recommendation, and against the codecs of FFmpeg and libsndfile."""

import io
from itertools import accumulate

import av
import numpy as np
import pytest
import soundfile

from training import g711

EVERY = np.arange(-(2**15), 2**15).astype(np.int16)
CODES = np.arange(256).astype(np.uint8)
UNIT = {"mu": 4, "a": 8}  # of the tables, in 16-bit samples


def decision_values(law: g711.Law) -> np.ndarray:
    """Column 6 of the tables 1a and 2a, without its virtual last value: from 16 equal steps for each segment."""
    if law == "mu":  # 2a: the first step is 1; then 15 of 2, 16 of 4, 16 of 8 ...
        steps = [1, *[2] * 15, *[2 << segment for segment in range(1, 8) for _ in range(16)]]
    else:  # 1a: 32 steps of 2, 16 of 4, 16 of 8 ...
        steps = [*[2] * 32, *[2 << segment for segment in range(1, 7) for _ in range(16)]]
    return np.array(list(accumulate(steps, initial=0)))


def magnitudes(law: g711.Law) -> np.ndarray:
    """Column 8: each level lies half way between its decision values; but mu-law's first is 0."""
    values = decision_values(law)
    levels = (values[1:] + values[:-1]) / 2
    return np.where(np.arange(128) == 0, 0, levels) if law == "mu" else levels


def test_the_tables_are_those_of_the_recommendation() -> None:
    """Values that the Recommendation prints, at the ends of the segments."""
    assert decision_values("mu")[[0, 1, 2, 16, 32, 48, 64, 80, 96, 112, 113, 127, 128]].tolist() == [
        *(0, 1, 3, 31, 95, 223, 479, 991, 2015, 4063, 4319, 7903, 8159),
    ]
    assert magnitudes("mu")[[0, 1, 16, 32, 48, 64, 80, 96, 112, 127]].tolist() == [
        *(0, 2, 33, 99, 231, 495, 1023, 2079, 4191, 8031),
    ]
    assert decision_values("a")[[0, 1, 32, 48, 64, 80, 96, 112, 113, 127, 128]].tolist() == [
        *(0, 2, 64, 128, 256, 512, 1024, 2048, 2176, 3968, 4096),
    ]
    assert magnitudes("a")[[0, 32, 48, 64, 80, 96, 112, 127]].tolist() == [1, 66, 132, 264, 528, 1056, 2112, 4032]


@pytest.mark.parametrize("law", ["mu", "a"])
def test_every_level_is_that_of_the_table(law: g711.Law) -> None:
    # Column 7 gives the character signals: 1111 1111 downwards for mu-law; A-law's even bits are inverted after.
    positive = 255 - np.arange(128) if law == "mu" else (128 + np.arange(128)) ^ 0x55
    expected = np.zeros(256)
    expected[positive] = magnitudes(law) * UNIT[law]
    expected[positive ^ 0x80] = -magnitudes(law) * UNIT[law]
    assert np.array_equal(g711.decode(CODES, law), expected)


@pytest.mark.parametrize("law", ["mu", "a"])
def test_every_sample_gets_the_level_between_whose_decision_values_it_lies(law: g711.Law) -> None:
    values = decision_values(law)[:-1] * UNIT[law]
    # On a decision value the upper side: for negative samples that is the smaller magnitude.
    index = np.where(
        EVERY < 0,
        np.searchsorted(values, np.abs(EVERY.astype(int)), side="left"),
        np.searchsorted(values, EVERY, side="right"),
    )
    expected = np.where(EVERY < 0, -1, 1) * (magnitudes(law) * UNIT[law])[index - 1]
    assert np.array_equal(g711.decode(g711.encode(EVERY, law), law), expected)


@pytest.mark.parametrize("law", ["mu", "a"])
def test_a_level_is_coded_as_itself(law: g711.Law) -> None:
    again = g711.encode(g711.decode(CODES, law), law)
    negative_zero = (CODES == 0x7F) & (law == "mu")  # the one code whose level another has too
    assert np.array_equal(again[~negative_zero], CODES[~negative_zero])


def ffmpeg(samples: np.ndarray, law: g711.Law) -> np.ndarray:
    encoder = av.CodecContext.create(f"pcm_{law}law", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 8_000, "mono", "s16"
    encoder.open()
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = 8_000
    return np.frombuffer(b"".join(bytes(packet) for packet in encoder.encode(frame)), np.uint8)


def ffmpeg_levels(law: g711.Law) -> np.ndarray:
    decoder = av.CodecContext.create(f"pcm_{law}law", "r")
    decoder.sample_rate, decoder.layout = 8_000, "mono"
    return np.concatenate([frame.to_ndarray()[0] for frame in decoder.decode(av.Packet(CODES.tobytes()))])


def libsndfile(samples: np.ndarray, law: g711.Law) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, samples, 8_000, format="RAW", subtype=f"{law[0]}law".upper().replace("MLAW", "ULAW"))
    return np.frombuffer(file.getvalue(), np.uint8)


def libsndfile_levels(law: g711.Law) -> np.ndarray:
    raw = {"format": "RAW", "subtype": {"mu": "ULAW", "a": "ALAW"}[law], "samplerate": 8_000, "channels": 1}
    return soundfile.read(io.BytesIO(CODES.tobytes()), dtype="int16", **raw)[0]


@pytest.mark.parametrize("law", ["mu", "a"])
def test_all_decoders_agree(law: g711.Law) -> None:
    assert np.array_equal(g711.decode(CODES, law), libsndfile_levels(law))
    assert np.array_equal(g711.decode(CODES, law), ffmpeg_levels(law))


@pytest.mark.parametrize("law", ["mu", "a"])
def test_libsndfile_codes_otherwise_only_where_the_tables_leave_it_open(law: g711.Law) -> None:
    differs = g711.encode(EVERY, law) != libsndfile(EVERY, law)
    values = decision_values(law)[1:-1] * UNIT[law]
    assert sorted(-EVERY[differs].astype(int)) == values.tolist()  # the negative ones, and all of them


@pytest.mark.parametrize("law", ["mu", "a"])
def test_ffmpeg_codes_otherwise_between_decision_values_too(law: g711.Law) -> None:
    ours, theirs = g711.encode(EVERY, law), ffmpeg(EVERY, law)
    assert (ours != theirs).sum() == 964
    # The positive ones, whose side is plain: each is where segments meet, from the decision value, where the table's
    # interval begins, to the middle of the two levels. FFmpeg takes the level that is nearest.
    differs = (ours != theirs) & (EVERY > 0)
    heights, levels = EVERY[differs], [g711.decode(codes[differs], law).astype(int) for codes in (ours, theirs)]
    meeting = (decision_values(law) * UNIT[law])[16 if law == "mu" else 32 : 128 : 16]
    assert set(meeting) <= set(heights)
    assert (levels[1] < meeting[np.searchsorted(meeting, heights, side="right") - 1]).all()
    assert (heights <= (levels[0] + levels[1]) / 2 + 2 * UNIT[law]).all()


def test_a_waveform_is_clipped_and_comes_back_at_its_level() -> None:
    waveform = np.array([0.0, 0.5, -0.5, 1.0, 1.5, -2.0], np.float32)
    for law in ("mu", "a"):
        heard = g711.through(waveform, law)
        assert heard.dtype == np.float32
        assert np.abs(heard[:3] - waveform[:3]).max() < 0.02
        assert heard[3] == heard[4] == -heard[5] == (32_124 if law == "mu" else 32_256) / 32_768
