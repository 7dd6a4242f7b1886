"""Music and sounds of packages -> corpora that nobody spoke, and what training and audits make of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.corpora import make_corpus
from tests.fake_detector import FakeDetector, bright
from training import audit, non_speech
from training.config import AugmentConfig, Config
from training.corpus import NOT_SPEECH, Utterance, read_partition
from training.dataset import Recording
from training.loader import Maker, epoch_windows
from training.recipes import sounds
from training.sampling import Sampler

PACKAGES = (
    sounds.Package(name="one", folders=("music", "sounds")),
    sounds.Package(name="another", folders=(".",)),
    sounds.Package(name="judge", folders=("music",), held_out=True),
)


def write(path: Path, seconds: float, *, rate: int = 22_050, gain: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).standard_normal((round(seconds * rate), 2))
    soundfile.write(path, np.clip(gain * noise, -1, 1), rate)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Packages as they are unpacked: a long piece, short ones, one that is silent, and files that are no music."""
    work = tmp_path / "work"
    write(work / "one/music/long.ogg", 30)
    write(work / "one/sounds/deep/short.wav", 2)
    for number in range(20):
        write(work / f"one/sounds/blip{number:02}.wav", 0.5)
    write(work / "one/sounds/silent.wav", 4, gain=0)
    write(work / "one/voices/hello.wav", 4)
    (work / "one/sounds/broken.ogg").write_text("no music")
    (work / "one/sounds/notes.txt").write_text("no music")
    write(work / "another/tune.FLAC", 9)
    write(work / "judge/music/judge.ogg", 3)
    shutil.copy(work / "another/tune.FLAC", work / "judge/music/tune, again.flac")  # which training has
    return work


def test_packages_become_two_corpora(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "TABLE", PACKAGES)
    assert sounds.main([str(tmp_path / "out"), "--work", str(work)]) == 0
    learned = read_partition(tmp_path / "out/sounds", "train")
    assert [u.speaker for u in learned] == ["one"] * 7 + ["another"] * 2
    (judged,) = read_partition(tmp_path / "out/other_sounds", "eval")
    assert judged.speaker == "judge"
    assert {(u.key, u.attack) for u in [*learned, judged]} == {("spoof", NOT_SPEECH)}
    infos = [soundfile.info(u.path) for u in learned]
    assert {(info.samplerate, info.channels) for info in infos} == {(16_000, 1)}
    # Sixteen blips are one clip before the short piece, and four are left at the end.
    assert [round(info.duration, 2) for info in infos] == [8, 8, 8, 8, 8, 2, 2, 8, 8]


def test_a_corpus_is_written_once(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sounds, "TABLE", PACKAGES)
    arguments = [str(tmp_path / "out"), "--work", str(work)]
    assert sounds.main(arguments) == 0
    assert sounds.main(arguments) == 1
    assert "sounds" in capsys.readouterr().err


def test_a_package_that_cannot_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(sounds, "TABLE", PACKAGES)
    assert sounds.main([str(tmp_path / "out"), "--work", str(tmp_path / "work")]) == 1
    assert capsys.readouterr().err.endswith("Received: one, at which apt-get failed.\n")


def test_a_package_is_in_the_table_once() -> None:
    names = [package.name for package in sounds.TABLE]
    assert len(set(names)) == len(names)
    assert {package.held_out for package in sounds.TABLE} == {False, True}


def recordings(*, sounds: int) -> list[Recording]:
    """Two bonafide clips and two spoofs of a corpus, and sounds of another, each of one value that says which it is."""
    rows = [Utterance("S", f"u{n}", "A01" if n % 2 else None, "spoof" if n % 2 else "bonafide") for n in range(4)]
    rows += [Utterance("P", f"s{n}", NOT_SPEECH, "spoof") for n in range(sounds)]
    values = np.array([1, 1, 1, 1, *range(10_001, 10_001 + sounds)])
    return [
        Recording(u, "a" if u.attack != NOT_SPEECH else "b", np.full(40_000, value, np.int16))
        for u, value in zip(rows, values, strict=True)
    ]


def test_training_draws_sounds_only_where_nobody_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(non_speech, "at_random_level", lambda signal, rng: signal)
    monkeypatch.setattr(non_speech, "random_window", lambda rng, *, samples, sample_rate: np.full(samples, 0.9))
    given = recordings(sounds=3)
    data: dict[str, Any] = {"fit": {"not_speech": 0.5, "batch_size": 200, "epoch_windows": 400}}
    batch = Maker(given, Config.model_validate(data | {"augment": AugmentConfig().model_dump()})).batch(0, 0)
    heard = np.round(batch.waveforms[:, 0] * 32_767)
    assert set(heard[batch.spoken]) == {1}
    made, recorded = (heard[~batch.spoken] > 20_000), np.isin(heard[~batch.spoken], [10_001, 10_002, 10_003])
    assert (made | recorded).all()
    assert 0.3 < recorded.mean() < 0.7
    assert set(np.unique(heard[~batch.spoken][recorded])) == {10_001, 10_002, 10_003}
    assert (batch.labels[~batch.spoken] == 0).all()


def test_sounds_neither_lengthen_an_epoch_nor_are_missed() -> None:
    config = Config()
    assert epoch_windows(recordings(sounds=9), config) == epoch_windows(recordings(sounds=0), config) == 4
    assert not Sampler([(r.utterance, r.corpus) for r in recordings(sounds=9)], config.fit).unheard


def test_an_audit_tells_recorded_sounds_beside_made_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_corpus(tmp_path / "LA", partitions=("dev", "eval"), speakers=2, clips=2, spoof=bright)
    monkeypatch.setattr(audit, "SIGNALS", {"digital silence": non_speech.SIGNALS["digital silence"]})
    spoken = [u for u in read_partition(root, "eval") if u.key == "bonafide"]  # to the fake, no voice is music
    found = audit.audit(FakeDetector(), read_partition(root, "dev"), clips=2, transforms={}, sounds=spoken)  # type: ignore[arg-type]
    for channel in audit.SOUND_CHANNELS:
        assert set(found["non_speech"][channel]) == {"digital silence", *(u.speaker for u in spoken)}
    counts = [found["non_speech"]["original"][name] for name in sorted({u.speaker for u in spoken})]
    assert [row["signals"] for row in counts] == [2, 2]
    assert [row["bonafide"]["balanced"] for row in counts] == [2, 2]
    assert [row["recorded"] for row in found["non_speech"]["gsm"].values()] == [False, True, True]
    json.dumps(found, allow_nan=False)
