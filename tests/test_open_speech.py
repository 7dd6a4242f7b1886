"""Corpora of openly licensed speech: raw clips and their index -> the layout of ASVspoof 2019 LA."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpora import made_speech
from training.corpus import CorpusError, read_partition
from training.recipes import human, layout
from training.recipes.cutting import as_clips, trim
from training.recipes.people import TABLE, Voices
from training.recipes.raw_index import Raw, read_index, write_index

RATE = 16_000
CAPS = {"most_of_speaker": 120, "most_of_source": 400, "seed": 3, "jobs": 1}


def raw_folder(folder: Path, *, clips: int = 40, rate: int = 16_000, label: str = "bonafide") -> Path:
    """Clips of four speakers and two sources, with silence around them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(clips):
        waveform = np.pad(made_speech(rng, pitch_hz=120, leading_seconds=0.1, sample_rate=rate), rate // 2)
        soundfile.write(folder / f"{number}.flac", waveform, rate)
        attack = "-" if label == "bonafide" else f"T{number % 2:02}"
        source = f"source {number % 2}/{number}"
        rows.append(Raw(f"{number}.flac", label, attack, f"voice {number % 4}", "en", "made", source, "CC0"))
    write_index(folder, rows)
    return folder


def provenance(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "provenance.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker processes: a test need not import everything again."""

    class Pool:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> "Pool":
            return self

        def __exit__(self, *_: object) -> None: ...

        def map(self, function, *rows, chunksize=1):
            return map(function, *rows)

    monkeypatch.setattr(layout, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(human, "ProcessPoolExecutor", Pool)


@pytest.mark.usefixtures("in_process")
def test_both_classes_are_treated_alike(tmp_path: Path) -> None:
    folders = [
        raw_folder(tmp_path / "human", clips=21),
        raw_folder(tmp_path / "synth", clips=20, rate=22_050, label="spoof"),
    ]
    (folders[0] / "0.flac").write_bytes(b"no audio")
    summary = layout.lay_out(folders, tmp_path / "out", **CAPS)

    assert "1 broken or too short" in summary
    utterances = read_partition(tmp_path / "out", "train")
    rows = provenance(tmp_path / "out")
    assert [u.id for u in utterances] == [row["id"] for row in rows]
    assert [u.attack or "-" for u in utterances] == [row["attack"] for row in rows]
    assert list(rows[0]) == layout.COLUMNS
    assert {row["speaker"] for row in rows} == {f"voice_{number}" for number in range(4)}
    for label, clips in (("bonafide", 20), ("spoof", 20)):
        of_class = [row for row in rows if row["label"] == label]
        assert len(of_class) == clips
        assert sum(row["sample_rate"] == "8000" for row in of_class) == round(0.35 * clips)
        assert sum(row["coding"] == "MP3 added" for row in of_class) == 5
    narrow = [row["attack"] for row in rows if row["label"] == "spoof" and row["sample_rate"] == "8000"]
    assert abs(narrow.count("T00") - narrow.count("T01")) <= 1
    levels = []
    for utterance, row in zip(utterances, rows, strict=True):
        clip, rate = soundfile.read(utterance.path)
        assert rate == int(row["sample_rate"])
        assert 1.0 <= clip.size / rate <= 3.4
        assert abs(clip[0]) <= 2 * 2**-15
        levels.append(20 * np.log10(np.sqrt(np.mean(np.square(clip)))))
    assert np.mean(levels) == pytest.approx(-30, abs=2)
    assert np.std(levels) == pytest.approx(4, abs=1.5)


def test_spoofs_get_the_lossy_history_that_people_have() -> None:
    human = [Raw(str(n), "bonafide", "-", "v", "en", "", f"p/{n}.{'ogg' if n % 4 else 'wav'}", "") for n in range(40)]
    synth = [
        Raw(str(n), "spoof", f"T{n % 2}", "v", "en", "", f"s/{n}.{'mp3' if n < 4 else 'wav'}", "") for n in range(20)
    ]
    assert Raw("0", "bonafide", "-", "v", "en", "", "game/queen.1c/020020P1.SB", "").lossy
    tasks = layout.plan([(raw, 22_050) for raw in human + synth], seed=0)
    assert not any(task.vorbis for task in tasks if task.raw.label == "bonafide")
    assert sum(task.vorbis for task in tasks) == 15 - 4
    clean = layout.Task("x", human[0], False, False, None, (0, 0))
    assert [
        layout._added(replace(clean, vorbis=v, bit_rate=b)) for v, b in ((False, None), (True, None), (True, 32_000))
    ] == [*("", "Vorbis added", "Vorbis and MP3 added")]


@pytest.mark.usefixtures("in_process")
def test_the_seed_decides_everything(tmp_path: Path) -> None:
    folder = raw_folder(tmp_path / "human", clips=8)
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    for out, seed in ((first, 3), (again, 3), (other, 4)):
        layout.lay_out([folder], out, **{**CAPS, "seed": seed})
    files = [
        sorted((path.name, path.read_bytes()) for path in out.rglob("*") if path.is_file())
        for out in (first, again, other)
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]


@pytest.mark.usefixtures("in_process")
def test_caps(tmp_path: Path) -> None:
    folder = raw_folder(tmp_path / "human", clips=24)
    summary = layout.lay_out([folder], tmp_path / "out", **{**CAPS, "most_of_speaker": 5, "most_of_source": 8})
    rows = provenance(tmp_path / "out")
    for column, most in (("speaker", 5), ("source", 8)):
        groups = [row[column].split("/")[0] for row in rows]
        assert max(groups.count(group) for group in groups) <= most
    assert len(rows) == 16
    assert "8 left out by the caps" in summary


def test_narrowband_recordings_fill_a_share_of_the_8_khz_clips() -> None:
    raws = [Raw(str(number), "bonafide", "-", "v", "en", "", f"s{number < 90}/", "") for number in range(200)]
    tasks = layout.plan([(raw, 8_000 if number < 100 else 44_100) for number, raw in enumerate(raws)], seed=0)
    native = [task for task in tasks if int(task.raw.path) < 100]
    assert len(native) == 37
    assert all(task.narrow for task in native)
    assert sum(int(task.raw.path) >= 90 for task in native) == 10  # sources take turns, until one has no more
    assert sum(task.narrow for task in tasks) == round(0.35 * len(tasks)) == round(0.35 * 137)


def test_trim_leaves_50_ms_of_silence() -> None:
    speech = np.full(RATE, 0.1, np.float32)
    padded = np.pad(speech, (8_000, 12_000))
    assert abs(trim(padded, sample_rate=RATE).size - (RATE + 2 * 800)) <= 2 * 320
    assert trim(np.zeros(RATE, np.float32), sample_rate=RATE).size == 0


def test_short_recordings_are_joined_and_long_ones_cut() -> None:
    rng = np.random.default_rng(0)
    tone = (0.1 * np.sin(np.arange(20 * RATE) / 5)).astype(np.float32)
    words = [(f"word {number}", tone[: RATE // 2]) for number in range(9)]
    joined = list(as_clips(words, rng, sample_rate=RATE))
    assert joined[0][0] == "word 0"
    assert all(1.2 * RATE <= clip.size <= (3.4 + 0.65) * RATE for _, clip in joined)
    first_gap = joined[0][1][RATE // 2 + 80 : RATE // 2 + 960 - 80]
    assert np.abs(first_gap).max() > 0  # as faint as speech's quietest, and not silent to the last bit
    sentence = list(as_clips([("sentence", tone[: 13 * RATE])], rng, sample_rate=RATE))
    assert [clip.size / RATE for _, clip in sentence] == pytest.approx([6, 6, 1], abs=0.05)


@pytest.mark.usefixtures("in_process")
def test_packages_become_raw_clips(tmp_path: Path) -> None:
    """Of an unpacked package: the readers, the languages, the same file twice, one broken and one clipped."""
    voices = Voices(
        package="voices", pattern=r"(?P<language>\w\w)/(?!noise).+\.wav", language="{language}", speaker="V_{language}",
        licence="CC0",
    )  # fmt: skip
    rng = np.random.default_rng(1)
    for language in ("pt", "fi"):
        folder = tmp_path / "work/voices" / language
        folder.mkdir(parents=True)
        speech = [made_speech(rng, pitch_hz=140, leading_seconds=0.1, sample_rate=8_000) for _ in range(3)]
        for name, waveform in zip("abc", speech, strict=True):
            soundfile.write(folder / f"{name}.wav", np.repeat(waveform, 2), 16_000)
        soundfile.write(folder / "a again.wav", np.repeat(speech[0], 2), 16_000)
        soundfile.write(folder / "noise.wav", rng.normal(scale=0.1, size=2 * RATE), RATE)
        soundfile.write(folder / "clipped.wav", np.clip(100 * speech[0], -1, 1), 8_000)
        (folder / "broken.wav").write_bytes(b"RIFF")
    heard = human.collect(tmp_path / "out", work=tmp_path / "work", most=2, seed=0, jobs=1, table=[voices])
    rows = read_index(tmp_path / "out")
    assert [(row.speaker, row.language) for row in rows] == [("V_fi", "fi")] * 2 + [("V_pt", "pt")] * 2
    assert all(row.source.startswith("voices/") and row.origin == "voices" for row in rows)
    assert not any(word in row.source for row in rows for word in ("noise", "clipped", "broken"))
    assert len(heard) == 4
    assert "voices" in human.report(heard)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("usr/share/asterisk/sounds/en_US_f_Allison/digits/1.wav", ("en", "Asterisk_Allison")),
        ("usr/share/asterisk/sounds/en_US_f_Allison/silence/1.wav", None),
        ("usr/share/asterisk/sounds/en_US_f_Allison/beep.wav", None),
        ("usr/share/tuxpaint/stamps/food/fruit/apple_desc_pt_BR.wav", ("pt", "TuxPaint_pt_BR")),
        ("usr/share/tuxpaint/stamps/animals/cat.ogg", None),
        ("usr/share/tuxpaint/stamps/symbols/math/0_desc_ro.ogg", ("ro", "TuxPaint_ro")),
        ("usr/share/tuxpaint/stamps/symbols/math/7_zh_tw.ogg", ("zh", "TuxPaint_numbers_zh_tw")),
        ("usr/share/scummvm/drascula/en/S1.ALS", None),
        ("usr/share/kajongg/voices/de/male1/b1.ogg", ("de", "Kajongg_de_male1")),
    ],
)
def test_the_table_reads_language_and_speaker(path: str, found: tuple[str, str] | None) -> None:
    read = [of for voices in TABLE if voices.package.startswith(_package(path)) and (of := voices.read(path))]
    assert read == ([] if found is None else [found])


def _package(path: str) -> str:
    """The beginning of the package's name: its folder."""
    folder = path.split("/")[2]
    return "drascula" if folder == "scummvm" else "asterisk-core-sounds-en" if folder == "asterisk" else folder


def test_an_index_at_fault(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="which has none"):
        read_index(tmp_path)
    write_index(tmp_path, [Raw("a.flac", "spoof", "-", "v", "en", "", "s", "")])
    with pytest.raises(CorpusError, match="a spoof alone has an attack"):
        read_index(tmp_path)
    (tmp_path / "index.csv").write_text("path,label\n")
    with pytest.raises(CorpusError, match="columns"):
        read_index(tmp_path)
