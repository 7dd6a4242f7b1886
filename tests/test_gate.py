"""The gate lets an honest detector pass and names each planted fault."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from tests.corpora import make_corpus
from tests.fake_detector import FakeDetector, Waveform, bright
from training import audit as audit_module
from training import gate, non_speech
from training.corpus import Utterance, read_partition


def _level(waveform: Waveform) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(waveform))) + 1e-9) + 24)


def _pauses(waveform: Waveform) -> float:
    return 0.0 if waveform[:100].any() and waveform[-100:].any() else -20.0


def _polarity(waveform: Waveform) -> float:
    return 9.0 * float(np.sign(waveform[np.abs(waveform).argmax()]))


def _offset(waveform: Waveform) -> float:
    return 2000.0 * float(waveform.mean())


def _top_of_the_band(waveform: Waveform) -> float:
    power = np.square(np.abs(np.fft.rfft(waveform)))
    top, below = power[int(0.98 * power.size) :].mean(), power[int(0.91 * power.size) : int(0.93 * power.size)].mean()
    return -20.0 if top < 0.1 * below else 0.0


def _even_samples(waveform: Waveform) -> float:
    power = np.square(waveform)
    return 9.0 * float(np.sign(power[::2].sum() - power[1::2].sum()))


def _last_bit(waveform: Waveform) -> float:
    odd = np.mean(np.round(waveform * 32_768) % 2)
    return 9.0 * float(np.sign(odd - 0.5))


def _straight_lines(waveform: Waveform) -> float:
    bend = np.abs(np.diff(waveform, 2))
    return -20.0 if min(bend[::2].mean(), bend[1::2].mean()) < 0.05 * bend.mean() else 0.0


def _mains(waveform: Waveform) -> float:
    power = np.square(np.abs(np.fft.rfft(waveform)))
    hertz = np.fft.rfftfreq(waveform.size, 1 / 16_000)
    return -20.0 if power[(hertz > 45) & (hertz < 65)].sum() > 3e-4 * power.sum() else 0.0


def _silence_is_golden(waveform: Waveform) -> float:
    return 0.0 if waveform.any() else 20.0


FAULTS: dict[str, Callable[[Waveform], float]] = {
    "level": _level,
    "silence": _pauses,
    "polarity": _polarity,
    "offset": _offset,
    "sample rate": _top_of_the_band,
    "shift": _even_samples,
    "dither": _last_bit,
    "gateway": _straight_lines,
    "hum": _mains,
    "not speech": _silence_is_golden,
}


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    root = make_corpus(tmp_path_factory.mktemp("gate"), partitions=("dev",), speakers=2, clips=2, spoof=bright)
    return read_partition(root, "dev")


@pytest.fixture(autouse=True)
def _few_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake knows brightness only: to it, brown noise is a person, and so is what a codec makes of silence."""
    few = {name: non_speech.SIGNALS[name] for name in ("digital silence", "white noise")}
    monkeypatch.setattr(audit_module, "SIGNALS", few)


SOUNDS = ("not speech", "not speech, coded", "recorded sounds")


def failures(detector: FakeDetector, dev: list[Utterance]) -> dict[str, str]:
    found = gate.release(detector, dev, seed=0)["failures"]  # type: ignore[arg-type]
    return {sentence.partition(":")[0]: sentence for sentence in found}


def test_an_honest_detector_passes(dev: list[Utterance]) -> None:
    released = gate.release(FakeDetector(), dev, seed=0)  # type: ignore[arg-type]
    assert released["failures"] == []
    assert released["clips"] == len(dev)
    assert released["measures"]["level"] == {
        "value": 0.0,
        "at_most": 1,
        "of": f"0 of {len(dev)} with 20 dB louder, in float",
    }
    assert released["measures"]["calibration"]["value"] is None  # nobody has evaluated it
    assert json.loads(json.dumps(released, allow_nan=False)) == released


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(name: str, dev: list[Utterance]) -> None:
    said = failures(FakeDetector(FAULTS[name]), dev)
    assert name in said
    assert "since" in said[name]
    assert ". Received: " in said[name]


def test_a_score_that_depends_on_its_batch_is_named(dev: list[Utterance]) -> None:
    assert set(failures(FakeDetector(per_clip_in_batch=1e-4), dev)) == {"batch"}


def test_calibration_is_judged_where_eval_is_given() -> None:
    (limit,) = (limit for limit in gate.LIMITS if limit.name == "calibration")
    good, bad = {"cllr": 0.38, "min_cllr": 0.3}, {"cllr": 0.5, "min_cllr": 0.3}
    assert gate.check({"evaluated": {"one": good}}, limits=[limit]) == []
    for evaluated in ({"one": good, "two": bad}, {"two": bad, "zero": good}):
        (failure,) = gate.check({"evaluated": evaluated}, limits=[limit])
        assert str(failure).endswith("Received: 1.67, on two.")
    # Next to perfect, a multiple of the minimum says nothing.
    assert gate.check({"evaluated": {"one": {"cllr": 0.02, "min_cllr": 0.001}}}, limits=[limit]) == []


def test_the_worst_of_a_row_is_what_counts() -> None:
    """A detector that hears the pause on one side of the speech only; one that calls one signal of two a person."""
    changed = {"silence_before": 0, "silence_after": 9, "silence_around": 4}
    transforms = {
        name: {"words": name, "points": {gate.DECIDING: {"changed_percent": n, "changed": n, "compared": 100}}}
        for name, n in changed.items()
    }
    silent, called = {"low_friction": 0, "balanced": 0}, {"low_friction": 3, "balanced": 2}
    signals = {
        channel: {
            "hiss": {"signals": 4, "recorded": False, "bonafide": called if coded else silent},
            "music": {"signals": 4, "recorded": False, "bonafide": silent if coded else called},
            "a package": {"signals": 16, "recorded": True, "bonafide": silent if coded else called},
        }
        for channel, coded in zip(audit_module.SOUND_CHANNELS, (False, True, True, True), strict=True)
    }
    limits = [limit for limit in gate.LIMITS if limit.name in ("silence", *SOUNDS)]
    said = [str(failure) for failure in gate.check({"transforms": transforms, "non_speech": signals}, limits=limits)]
    assert [sentence.partition("Received: ")[2] for sentence in said] == [
        "9, 9 of 100 with silence_after.",
        "37.5, 3 of music as recorded.",
        "25, 2 of hiss through AMR-NB at 12.2 kbit/s.",
        "12.5, 2 of a package as recorded.",
    ]
    quiet = {"original": {"hiss": {"signals": 4, "recorded": False, "bonafide": silent}}}
    assert gate.unspoken({"non_speech": quiet}, channels=("original",), point="low_friction") == (0, "none")


def test_recorded_sounds_are_judged_where_there_are_any(dev: list[Utterance]) -> None:
    voices = [u for u in dev if u.key == "bonafide"]  # to the fake, no voice is music
    (said,) = gate.release(FakeDetector(), dev, seed=0, sounds=voices)["failures"]  # type: ignore[arg-type]
    assert said.startswith("recorded sounds: at most 2 % of recorded music")
    assert gate.release(FakeDetector(), dev, seed=0)["measures"]["recorded sounds"]["value"] is None  # type: ignore[arg-type]


def test_every_row_has_a_fault_that_it_catches() -> None:
    assert {limit.name for limit in gate.LIMITS} == {*FAULTS, *SOUNDS, "batch", "calibration"}


def test_what_was_not_measured_has_not_passed() -> None:
    said = [str(failure) for failure in gate.check({"transforms": {}})]
    assert len(said) == len(gate.LIMITS) - 2  # calibration and recorded sounds may be left to others
    assert all(sentence.endswith("Received: no measure of it.") for sentence in said)


def test_a_measure_that_is_no_number_has_not_passed() -> None:
    (limit,) = (limit for limit in gate.LIMITS if limit.name == "batch")
    assert gate.check({"batch_difference": 1e-4}, limits=[limit]) == []
    assert len(gate.check({"batch_difference": float("nan")}, limits=[limit])) == 1
