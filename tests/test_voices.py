"""The recipe that gathers speech of synthesis systems: its table, and the index of a system that is made up."""

import csv
import importlib.util
import json
import re
import sys
import wave
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import training
from training.recipes import voices
from training.recipes.raw_index import COLUMNS
from training.vocoders import published
from training.vocoders.published import PUBLISHED

_RECIPES = Path(training.__file__).parent / "recipes"
# The unseen attacks of the evaluation, and packages that speak by them.
_UNSEEN = (
    "piper", "kitten", "rhvoice", "tortoise", "assem", "cotatron", "mellotron", "portaspeech", "gemini", "hierspeech",
    "wavegrad", "dia", "spark", "step-audio", "univnet", "quickvc", "vibevoice",
)  # fmt: skip


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


_FAULTS = (("silence", "silent"), ("noise", "noise"), ("short", "0.5 s long"))

speaking = _load(_RECIPES / "speech" / "speaking.py")


def faults(name: str, system) -> list[str]:
    """What is wrong with a row of the table."""
    found = []
    packages = (*system.packages, *system.without_dependencies, *system.debian)
    if not all(re.fullmatch(r"[a-z0-9-]+==?[0-9][\w.+:~-]*", package) for package in packages):
        found.append("not pinned")
    if not all(re.fullmatch(r"@?[a-z0-9/-]+@[0-9.]+", package) for package in system.npm):
        found.append("not pinned")
    if not system.licence or re.search(r"\bNC\b|non-?commercial", system.licence, re.IGNORECASE):
        found.append("licence")
    words = re.split(r"[^a-z0-9-]+", f"{name} {system.generator} {' '.join(packages)}".lower())
    if any(word == unseen or word.startswith(f"{unseen}-") for word in words for unseen in _UNSEEN):
        found.append("unseen")
    return found


def test_every_system_is_pinned_licensed_and_none_of_the_evaluation() -> None:
    assert [(name, found) for name, system in voices.SYSTEMS.items() if (found := faults(name, system))] == []
    attacks = [system.attack for system in voices.SYSTEMS.values()]
    assert len(set(attacks)) == len(attacks)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"packages": ("numpy",)}, "not pinned"),
        ({"npm": ("some-voice",)}, "not pinned"),
        ({"licence": "CC-BY-NC-4.0"}, "licence"),
        ({"licence": ""}, "licence"),
        ({"packages": ("piper-tts==1.2.0",)}, "unseen"),
        ({"generator": "Dia"}, "unseen"),
    ],
)
def test_a_bad_row_is_found(fields: dict[str, object], fault: str) -> None:
    good = {"attack": "P99", "generator": "LPC diphones", "licence": "MIT", "packages": ("numpy==2.0.0",)}
    assert faults("made-up", voices.System(**good)) == []
    assert faults("made-up", voices.System(**(good | fields))) == [fault]


def test_vocoders_that_others_have_trained_are_pinned_licensed_and_none_of_the_evaluation() -> None:
    for name, vocoder in PUBLISHED.items():
        own = (vocoder.package,) if vocoder.package else ()  # else the user builds it
        assert faults(name, voices.System("V71", name, vocoder.licence, published.PACKAGES, own)) == []


def test_every_system_can_speak_and_has_sentences() -> None:
    assert set(speaking.SYSTEMS) == set(voices.SYSTEMS)
    texts = json.loads((_RECIPES / "speech" / "sentences.json").read_text(encoding="utf-8"))
    assert len(texts["en"]) == 60
    assert all(len(set(of_language)) == len(of_language) >= 15 for of_language in texts.values())


def test_the_index_leaves_out_what_is_no_speech(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(voices.SYSTEMS, "made-up", voices.System("P99", "a tone", "MIT", ("made-up==1.0",)))
    rng, seconds = np.random.default_rng(0), np.arange(32000) / 16000
    tone = 0.3 * np.sin(2 * np.pi * 200 * seconds)
    clips = {"tone": tone, "silence": 0 * tone, "noise": 0.3 * rng.standard_normal(32000), "short": tone[:8000]}
    for name, samples in clips.items():
        speaking._write(tmp_path / f"{name}.wav", samples, 16000)
    told = [{"path": f"{name}.wav", "voice": "v", "language": "en"} for name in clips]

    assert voices.write_index(tmp_path, "made-up", told) == 1
    with (tmp_path / "index.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == COLUMNS
    assert row == {
        "path": "tone.wav", "label": "spoof", "attack": "P99", "speaker": "made-up-v", "language": "en",
        "generator": "a tone", "source": "made-up==1.0", "licence": "MIT",
    }  # fmt: skip
    said = capsys.readouterr().err
    assert [f"{name}.wav left out: {why}" in said for name, why in _FAULTS] == [True] * 3


def test_speech_louder_than_full_scale_is_brought_down_not_clipped(tmp_path: Path) -> None:
    speaking._write(tmp_path / "loud.wav", 2 * np.sin(np.arange(8000) / 10), 16000)
    with wave.open(str(tmp_path / "loud.wav")) as file:
        samples = np.frombuffer(file.readframes(8000), "<i2") / 32768
    assert 0.98 < np.abs(samples).max() < 1
    assert np.mean(np.abs(samples) > 0.985) < 0.1  # a clipped sine of twice full scale would be there for 2 / 3


def test_an_unknown_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"A system is one of .* Received: hal\."):
        voices.main([str(tmp_path), "--systems", "hal"])
