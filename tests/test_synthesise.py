"""Copies that differ from their originals by the vocoder alone, and the corpus of them."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpora import made_speech, make_corpus
from training.__main__ import main
from training.corpus import protocol_path, read_partition
from training.synthesise import attack_name, plan, usual_methods
from training.vocoders import copies
from training.vocoders.methods import METHODS, NEURAL

RATE = 16_000
SPEECH = made_speech(np.random.default_rng(0), pitch_hz=130, leading_seconds=0.1).astype(np.float32)


def same(waveform: np.ndarray, *, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    return waveform


def louder_and_longer(waveform: np.ndarray, *, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    return np.pad(3 * waveform, (0, 100))


def level_db(waveform: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(waveform.astype(np.float64)))))


def floats(samples: np.ndarray) -> np.ndarray:
    return samples.astype(np.float32) / 2**15


@pytest.mark.parametrize("rate", [8_000, 16_000])
@pytest.mark.parametrize("name", METHODS)
def test_every_copy_has_the_length_and_level_of_its_original(name: str, rate: int) -> None:
    original = copies.resample(SPEECH, RATE, rate)
    made = copies.copy(original, METHODS[name], sample_rate=rate, rng=np.random.default_rng(1))
    assert (made.dtype, made.size) == (np.int16, original.size)
    assert level_db(floats(made)) == pytest.approx(level_db(original), abs=0.1)
    assert np.abs(made.astype(int)).max() < 2**15 - 1


def test_up_and_down_again_is_the_same() -> None:
    narrow = np.random.default_rng(0).standard_normal(4001).astype(np.float32)
    wide = copies.resample(narrow, 8_000, 16_000)
    assert wide.size == 8002
    assert copies.resample(wide, 16_000, 8_000, samples=4001) == pytest.approx(narrow, abs=1e-4)


def test_what_is_no_vocoders_doing_is_the_originals() -> None:
    made = floats(copies.copy(SPEECH, louder_and_longer, sample_rate=RATE, rng=np.random.default_rng(3)))
    assert np.abs(made - SPEECH).max() < 0.01 * np.abs(SPEECH).max()


def test_a_copy_points_the_way_that_its_original_does() -> None:
    pulses = np.zeros(1000, np.float32)
    pulses[::100] = 1
    for made in (pulses, -pulses):
        assert np.array_equal(copies.match_polarity(made, pulses), pulses)
        assert np.array_equal(copies.match_polarity(made, -pulses), -pulses)


def test_a_clip_at_full_scale_stays_there_and_none_is_clipped() -> None:
    full = SPEECH / np.abs(SPEECH).max()
    assert np.abs(copies.match_level(0.1 * SPEECH**3, full)).max() == pytest.approx(1)
    pulses = np.zeros(RATE, np.float32)
    pulses[::4000] = 1
    assert np.abs(copies.match_level(pulses, 0.9 * full)).max() <= 1


def test_hum_below_60_hz_is_kept_and_nothing_else() -> None:
    seconds = np.arange(RATE) / RATE
    hum, tone = (np.sin(2 * np.pi * hz * seconds).astype(np.float32) for hz in (40, 400))
    kept = copies.keep_low(np.zeros(RATE, np.float32), hum + tone + 0.1, sample_rate=RATE)
    assert kept == pytest.approx(hum + 0.1, abs=1e-5)
    assert copies.keep_low(tone, np.zeros(RATE, np.float32), sample_rate=RATE) == pytest.approx(tone, abs=1e-5)


def test_there_is_no_dip_where_hum_and_copy_meet() -> None:
    made, original = np.random.default_rng(0).standard_normal((2, 60 * RATE)).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(copies.keep_low(made, original, sample_rate=RATE))))
    hertz = np.fft.rfftfreq(made.size, 1 / RATE)
    around = [power[(hertz >= low) & (hertz < low + 10)].mean() for low in (30, 55, 80)]
    assert 10 * np.log10(around[1] / np.mean([around[0], around[2]])) == pytest.approx(0, abs=0.8)


def test_a_missing_floor_of_noise_is_filled_to_the_originals() -> None:
    rng = np.random.default_rng(0)
    loud = np.repeat([0.0, 1.0, 0.0, 1.0], RATE // 2)
    clean = (0.1 * loud * np.sin(2 * np.pi * 200 * np.arange(loud.size) / RATE)).astype(np.float32)
    noisy = (clean + 1e-3 * rng.standard_normal(clean.size)).astype(np.float32)
    filled = copies.match_floor(clean, noisy, rng=rng)
    assert level_db(filled[1000:7000]) == pytest.approx(-60, abs=1)
    unchanged = copies.match_floor(noisy, noisy, rng=rng)
    assert unchanged == pytest.approx(noisy, abs=1e-7)


def test_a_slope_is_taken_back_to_the_originals() -> None:
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    tilted = np.convolve(noise, [1, -0.6], mode="same").astype(np.float32)
    back = copies.match_slope(tilted, noise)
    ratio = 10 * np.log10(copies._band_powers(back, 16) / copies._band_powers(noise, 16))
    assert np.abs(ratio).max() < 1
    assert np.abs(10 * np.log10(copies._band_powers(tilted, 16) / copies._band_powers(noise, 16))).max() > 3


def test_fades_are_put_where_the_original_has_them() -> None:
    ones = np.ones(1000, np.float32)
    original = ones.copy()
    original[:80] = np.linspace(0, 1, 80)
    faded = copies.fade_alike(ones, original, sample_rate=RATE)
    assert faded[0] == 0
    assert faded[40] == pytest.approx(0.5)
    assert (faded[80:] == 1).all()


def test_a_method_that_makes_silence_or_nan_is_refused() -> None:
    for value in (0.0, np.nan):
        broken = lambda waveform, *, sample_rate, rng: np.full_like(waveform, value)  # noqa: B023, E731
        with pytest.raises(ValueError, match=r"A method makes sound\. Received: silence or NaN"):
            copies.copy(SPEECH, broken, sample_rate=RATE, rng=np.random.default_rng(0))
    assert copies.copy(SPEECH, same, sample_rate=RATE, rng=np.random.default_rng(0)).any()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("made") / "made", speakers=3, clips=1)


def synthesise(corpus: Path, out: Path, *more: str) -> int:
    command = ["synthesise", "--corpus", str(corpus), "--out", str(out), "--methods", "phase,transform_codec,blur"]
    return main([*command, "--jobs", "1", *more])


def samples(root: Path) -> dict[str, np.ndarray]:
    return {u.id: soundfile.read(u.path, dtype="int16")[0] for u in read_partition(root, "train")}


def test_a_corpus_of_copies_names_their_originals(corpus: Path, tmp_path: Path) -> None:
    assert synthesise(corpus, tmp_path, "--copies", "2") == 0
    originals = {u.id: u for u in read_partition(corpus, "train") if u.key == "bonafide"}
    spoofs = read_partition(tmp_path, "train")
    assert Counter(u.source for u in spoofs) == dict.fromkeys(originals, 2)
    assert {u.key for u in spoofs} == {"spoof"}
    for spoof in spoofs:
        original = originals[spoof.source]
        assert spoof.speaker == original.speaker
        info, expected = soundfile.info(spoof.path), soundfile.info(original.path)
        assert (info.samplerate, info.frames, info.subtype) == (expected.samplerate, expected.frames, "PCM_16")
    assert Counter(u.attack for u in spoofs) == {attack_name(m): 2 for m in ("phase", "transform_codec", "blur")}
    assert not protocol_path(tmp_path, "dev").exists()


def test_methods_are_drawn_equally_often_and_a_clip_gets_different_ones(corpus: Path) -> None:
    originals = read_partition(corpus, "train")
    methods = list(METHODS)
    planned = list(plan(originals, methods, copies=5, seed=0))
    uses = Counter(method for _, _, method in planned)
    assert max(uses.values()) - min(uses[m] for m in methods) <= 1
    for original in originals:
        assert len({method for u, _, method in planned if u.source == original.id}) == 5
    assert planned == list(plan(originals, methods, copies=5, seed=0))
    assert planned != list(plan(originals, methods, copies=5, seed=1))


def test_neural_vocoders_keep_their_names_and_those_for_a_gpu_have_to_be_asked_for() -> None:
    assert [attack_name(method) for method in NEURAL] == ["V51", "V52", "V53", "V54", "V55", "V56"]
    assert set(NEURAL) - set(usual_methods()) == {"neural_hifigan", "neural_vocos"}
    assert set(METHODS) - set(usual_methods()) == {"comb"}


def test_synthesise_needs_no_tensorflow() -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = None; import training.__main__, training.synthesise;"
        "assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=True, timeout=60)


def test_what_was_interrupted_goes_on_and_ends_the_same(corpus: Path, tmp_path: Path) -> None:
    assert synthesise(corpus, tmp_path / "whole") == 0
    expected = samples(tmp_path / "whole")
    first, second, *_ = read_partition(tmp_path / "whole", "train")
    first.path.unlink()
    protocol_path(tmp_path / "whole", "train").unlink()
    marked = np.zeros(16, np.int16)
    soundfile.write(second.path, marked, RATE)  # would be made anew if what exists were not kept
    assert synthesise(corpus, tmp_path / "whole", "--jobs", "2") == 0
    again = samples(tmp_path / "whole")
    assert np.array_equal(again.pop(second.id), marked)
    assert all(np.array_equal(expected[name], again[name]) for name in again)


def test_a_neural_vocoder_is_trained_once_and_used(corpus: Path, tmp_path: Path) -> None:
    more = ["--methods", "neural_istft", "--neural-steps", "1", "--copies", "1"]
    assert synthesise(corpus, tmp_path, *more) == 0
    weights = (tmp_path / "vocoders" / "neural_istft.keras").read_bytes()
    spoofs = read_partition(tmp_path, "train")
    assert {u.attack for u in spoofs} == {"V51"}
    spoofs[0].path.unlink()
    assert synthesise(corpus, tmp_path, *more) == 0
    assert spoofs[0].path.is_file()
    assert (tmp_path / "vocoders" / "neural_istft.keras").read_bytes() == weights


def test_copies_made_otherwise_are_not_mixed(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synthesise(corpus, tmp_path, "--copies", "1") == 0
    assert synthesise(corpus, tmp_path, "--copies", "1", "--seed", "1") == 1
    assert "goes on as it began" in capsys.readouterr().err


def test_a_corpus_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = make_corpus(tmp_path / "own")
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    assert synthesise(own, own, "--copies", "1") == 1
    assert capsys.readouterr().err == f"Copies are written to an empty folder, or to one of copies. Received: {own}.\n"
    assert {path: path.read_bytes() for path in own.rglob("*") if path.is_file()} == before


def test_input_at_fault_is_one_sentence(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, message in (
        (["--copies", "0"], "--copies, --jobs and --neural-steps are 1 or more. Received: 0, 1, 1000."),
        (["--methods", "world,none"], "A method is one of world, "),
        (["--corpus", str(corpus)], "An utterance is in one corpus."),
    ):
        assert synthesise(corpus, tmp_path / "out", *more) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "LA").exists()
