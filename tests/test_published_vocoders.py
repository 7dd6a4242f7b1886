"""Vocoders that others have trained: their environment, what they are asked over pipes, and copies by them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpora import made_speech, make_corpus
from training import environments
from training.__main__ import main
from training.corpus import CorpusError, read_partition
from training.vocoders import fargan, published
from training.vocoders.published import PUBLISHED

RATE = 16_000
SPEECH = made_speech(np.random.default_rng(0), pitch_hz=130, leading_seconds=0.1).astype(np.float32)

# Stands for PyTorch and the packages of the vocoders: a generator whose every sample is the loudness of its frame.
TORCH = """
import contextlib, numpy
print("what a package prints is no answer")
class Tensor(numpy.ndarray):
    numpy = lambda self: numpy.asarray(self)
def tensor(values):
    return numpy.array(values).view(Tensor)
no_grad = contextlib.nullcontext
set_num_threads = id
class Model:
    hop = 160
    def eval(self):
        return self
    def __call__(self, mel):
        assert mel.shape[:2] == (1, 80) and mel.dtype == numpy.float32
        return numpy.repeat(numpy.exp(mel).mean(axis=1), self.hop).view(Tensor)
class Another(Model):
    hop = 256
    def inference(self, mel):
        return 32768 * self(mel)
class jit:
    load = lambda path, map_location: Model()
class nn:
    Module = Model
load = lambda path, map_location, weights_only: Another()
"""


# Stands for the vocoder of Opus: it hears a mean magnitude of each frame, is late, and leaves the first five out.
FARGAN = """
import sys
import numpy
mode, heard, spoken = sys.argv[1:]
assert (heard, spoken) == ("/dev/stdin", "/dev/stdout")
given = sys.stdin.buffer.read()
if mode == "-features":
    samples = numpy.frombuffer(given, "<i2")
    frames = numpy.abs(samples[: samples.size // 160 * 160].reshape(-1, 160)).mean(axis=1)
    made = numpy.repeat(frames[:, None], 36, axis=1).astype("<f4")
else:
    assert mode == "-fargan-synthesis"
    features = numpy.frombuffer(given, "<f4").reshape(-1, 36)
    made = numpy.concatenate([numpy.zeros(240), numpy.repeat(features[5:, 0], 160)]).astype("<i2")
sys.stdout.buffer.write(made.tobytes())
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A prepared environment, of an interpreter that finds the stand-in."""
    made = tmp_path / "environment"
    (made / "bin").mkdir(parents=True)
    (made / "torch.py").write_text(TORCH)
    python = made / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={made} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    fargan.program(made).write_text(f"#!{sys.executable}\n{FARGAN}")
    fargan.program(made).chmod(0o755)
    (made / "done").write_text("\n".join((*published.PACKAGES, *published.VOCODERS)))
    return made


def loudness(waveform: np.ndarray) -> np.ndarray:
    """RMS of each 20 ms."""
    return np.sqrt(np.mean(np.square(waveform[: waveform.size // 320 * 320].reshape(-1, 320)), axis=1))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_copy_is_where_its_original_is_whatever_rate_the_vocoder_has(name: str, environment: Path) -> None:
    published.prepare(environment, [name])
    for seed in range(4):  # some played slower, some smoothed
        rng = np.random.default_rng(seed)
        made = published.resynthesise(SPEECH, sample_rate=RATE, rng=rng, name=name, environment=environment)
        assert made.dtype == np.float32
        assert abs(made.size - SPEECH.size) <= 2
        both = [loudness(part[: SPEECH.size - 2]) for part in (made, SPEECH)]
        assert np.corrcoef(*both)[0, 1] > 0.9


def test_what_a_vocoder_hears_is_the_magnitude_in_80_bands() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE).astype(np.float32)
    mel = published.log_mel(tone, PUBLISHED["hifigan"])
    assert mel.shape == (RATE // 160 + 1, 80)
    assert mel.dtype == np.float32
    # Slaney's scale is linear to 1 kHz, which is its mel 15; 82 points lie evenly to that of 8 kHz, 45.2.
    assert np.argmax(mel[50]) == round(15 / (45.2 / 81)) - 1
    assert mel.min() == pytest.approx(np.log(1e-5))


def test_synthesise_makes_copies_by_them(environment: Path, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "LA", partitions=("train",), speakers=2, clips=1)
    arguments = ["synthesise", "--corpus", str(corpus), "--out", str(tmp_path / "out"), "--jobs", "2"]
    methods = ["--methods", "hifigan,melgan,fargan", "--copies", "3"]
    assert main([*arguments, *methods, "--environment", str(environment)]) == 0
    originals = {u.id: u for u in read_partition(corpus, "train")}
    made = read_partition(tmp_path / "out", "train")
    assert sorted({u.attack for u in made if u.attack}) == ["V71", "V72", "V73"]
    for u in made:
        assert u.source is not None
        copy, original = (soundfile.read(path)[0] for path in (u.path, originals[u.source].path))
        assert copy.size == original.size
        assert not np.array_equal(copy, original)


def test_copies_by_other_packages_are_not_mixed(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = make_corpus(tmp_path / "LA", partitions=("train",), speakers=2, clips=1)
    command = ["synthesise", "--corpus", str(corpus), "--out", str(tmp_path / "out"), "--jobs", "1"]
    command += ["--methods", "melgan", "--copies", "1", "--environment", str(environment)]
    assert main(command) == 0
    monkeypatch.setattr(published, "PACKAGES", ("torch==99.0.0",))
    assert main(command) == 1
    assert "goes on as it began" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "other")]) == 1
    assert f"Received: {environment}, others." in capsys.readouterr().err


def test_fargan_alone_needs_its_program_and_no_package(
    environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (environment / "done").unlink()
    corpus = make_corpus(tmp_path / "LA", partitions=("train",), speakers=2, clips=1)
    command = ["synthesise", "--corpus", str(corpus), "--jobs", "1", "--methods", "fargan", "--copies", "1"]
    assert main([*command, "--out", str(tmp_path / "out"), "--environment", str(environment)]) == 0
    assert "packages" not in json.loads((tmp_path / "out/synthesise.json").read_text())
    bare = tmp_path / "bare"
    assert main([*command, "--out", str(tmp_path / "other"), "--environment", str(bare)]) == 1
    said = capsys.readouterr().err
    assert "make fargan_demo" in said
    assert f"Received: no {bare / 'bin/fargan_demo'}." in said


def test_a_program_that_fails_is_told(environment: Path) -> None:
    fargan.program(environment).write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(ValueError, match=r"Received: status 3\.$"):
        fargan.speak(SPEECH, environment)


ENDS = {
    "before it answers": "raise SystemExit(3)",
    "in the middle of an answer": TORCH
    + """
class Model(Model):
    def __call__(self, mel):
        import os, sys
        answers = sys._getframe(1).f_locals["answers"]
        answers.write((1000).to_bytes(4, "little") + bytes(100))
        answers.flush()
        os._exit(3)
""",
}


@pytest.mark.parametrize("seconds", [1, 10])  # what fits into a pipe, and what does not
@pytest.mark.parametrize("when", ENDS)
def test_a_process_that_ends_is_told(environment: Path, when: str, seconds: int) -> None:
    (environment / "torch.py").write_text(ENDS[when])
    noise = np.random.default_rng(0).standard_normal(seconds * RATE).astype(np.float32)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"Received: its end, with status 3\.$"):
            published.resynthesise(
                noise, sample_rate=RATE, rng=np.random.default_rng(0), name="hifigan", environment=environment
            )


def test_an_environment_is_made_once_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> None:
        assert check
        ran.append(command[1:])
        (tmp_path / "made").mkdir(exist_ok=True)
        if command[-1] == "two==2":
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(environments.subprocess, "run", run)
    pip = ["-m", "pip", "install", "--quiet"]
    with pytest.raises(CorpusError, match="Received: a failure of .*two==2"):
        environments.prepare(tmp_path / "made", packages=("one==1",), without_dependencies=("two==2",))
    assert ran == [["-m", "venv", str(tmp_path / "made")], [*pip, "one==1"], [*pip, "--no-deps", "two==2"]]
    ran.clear()
    python = environments.prepare(tmp_path / "made", packages=("one==1",), npm=("three@3",))
    assert python == tmp_path / "made/bin/python"
    assert ran[-1] == ["install", "--prefix", str(tmp_path / "made"), "three@3"]
    ran.clear()
    assert environments.prepare(tmp_path / "made", packages=("one==1",), npm=("three@3",)) == python
    assert ran == []
    with pytest.raises(CorpusError, match="made, others"):
        environments.prepare(tmp_path / "made", packages=("one==2",))
