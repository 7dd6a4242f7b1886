from pathlib import Path

import pytest

from training import corpus
from training.corpus import CorpusError

BONAFIDE = "LA_0001 LA_T_1 - - bonafide"
SPOOF = "LA_0002 LA_T_2 - A01 spoof"


def write(root: Path, *lines: str, partition: corpus.Partition = "train") -> Path:
    protocol = root / "ASVspoof2019_LA_cm_protocols" / "ASVspoof2019.LA.cm.train.trn.txt"
    protocol.parent.mkdir(parents=True, exist_ok=True)
    protocol.write_text("\n".join(lines) + "\n")
    flac = root / f"ASVspoof2019_LA_{partition}" / "flac"
    flac.mkdir(parents=True, exist_ok=True)
    for line in lines:
        if len(line.split()) > 1:
            (flac / f"{line.split()[1]}.flac").touch()
    return protocol


def test_a_partition_is_its_protocol_with_paths(tmp_path: Path) -> None:
    write(tmp_path, BONAFIDE, SPOOF)
    first, second = corpus.read_partition(tmp_path, "train")
    assert (first.speaker, first.id, first.attack, first.key) == ("LA_0001", "LA_T_1", None, "bonafide")
    assert (second.attack, second.key) == ("A01", "spoof")
    assert first.path == tmp_path / "ASVspoof2019_LA_train" / "flac" / "LA_T_1.flac"
    assert corpus.attacks([first, second]) == {"A01"}


def test_the_third_column_is_what_a_spoof_was_made_from(tmp_path: Path) -> None:
    copied = "LA_0001 LA_T_1-1 LA_T_1 V01 spoof"
    write(tmp_path, BONAFIDE, SPOOF, copied)
    assert [u.source for u in corpus.read_partition(tmp_path, "train")] == [None, None, "LA_T_1"]


def test_a_protocol_is_written_as_it_was_read(tmp_path: Path) -> None:
    protocol = write(tmp_path, BONAFIDE, SPOOF, "LA_0001 LA_T_1-1 LA_T_1 V01 spoof")
    text = protocol.read_text()
    corpus.write_protocol(protocol, corpus.read_partition(tmp_path, "train"))
    assert protocol.read_text() == text
    assert list(protocol.parent.iterdir()) == [protocol]


def test_the_folder_around_la_is_taken_too(tmp_path: Path) -> None:
    write(tmp_path / "LA", BONAFIDE)
    assert corpus.read_partition(tmp_path, "train") == corpus.read_partition(tmp_path / "LA", "train")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param([BONAFIDE, SPOOF, BONAFIDE], r":3: an utterance is named once.*LA_T_1", id="duplicate"),
        pytest.param(["LA_0001 LA_T_1 - - genuine"], r":1: the key is one of bonafide, spoof.*'genuine'", id="key"),
        pytest.param(["LA_0001 LA_T_1 - bonafide"], r":1: a line reads SPEAKER UTTERANCE", id="columns"),
        pytest.param(["LA_0001 LA_T_1 - A01 bonafide"], r":1: bonafide has the attack '-'", id="bonafide attack"),
        pytest.param(["LA_0001 LA_T_1 - - spoof"], r":1: bonafide has the attack '-'", id="spoof without attack"),
        pytest.param([], r"at least one utterance", id="empty"),
    ],
)
def test_a_protocol_that_breaks_a_rule_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        corpus.read_protocol(write(tmp_path, *lines))


def test_a_protocol_written_on_windows_is_the_same(tmp_path: Path) -> None:
    protocol = write(tmp_path, BONAFIDE, SPOOF)
    plain = corpus.read_protocol(protocol)
    text = protocol.read_text().replace(" ", "\t").replace("\n", "  \r\n\r\n")
    protocol.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert corpus.read_protocol(protocol) == plain


def test_a_protocol_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    protocol = write(tmp_path, BONAFIDE)
    protocol.write_bytes(f"{BONAFIDE}\nM\xfcller LA_T_2 - - bonafide\n".encode("latin-1"))
    with pytest.raises(CorpusError, match=rf"{protocol}: .* is UTF-8\. Received: byte 0xfc in line 2"):
        corpus.read_protocol(protocol)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds ASVspoof2019_LA_cm_protocols"):
        corpus.read_partition(tmp_path, "train")
    write(tmp_path, BONAFIDE, SPOOF)
    with pytest.raises(CorpusError, match=r"has a protocol file.*cm\.dev\.trl\.txt"):
        corpus.read_partition(tmp_path, "dev")
    (tmp_path / "ASVspoof2019_LA_train" / "flac" / "LA_T_2.flac").unlink()
    with pytest.raises(CorpusError, match=r"1 of 2 .* the first LA_T_2\.flac"):
        corpus.read_partition(tmp_path, "train")


def test_a_protocol_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret.flac").touch()
    write(tmp_path / "LA", BONAFIDE)
    protocol = corpus.protocol_path(tmp_path, "train")
    protocol.write_text("LA_0001 ../../../secret - - bonafide\n")
    with pytest.raises(CorpusError, match="1 of 1"):
        corpus.read_partition(tmp_path, "train")


def test_the_official_protocols(shared_data) -> None:
    reference = shared_data("asvspoof2019_la_reference")
    for name, utterances, attacks in (
        ("train.trn", 25_380, {f"A{n:02}" for n in range(1, 7)}),
        ("dev.trl", 24_844, {f"A{n:02}" for n in range(1, 7)}),
        ("eval.trl", 71_237, {f"A{n:02}" for n in range(7, 20)}),
    ):
        found = corpus.read_protocol(reference / f"ASVspoof2019.LA.cm.{name}.txt")
        assert len(found) == utterances
        assert corpus.attacks(found) == attacks


@pytest.mark.parametrize(
    ("name", "partition", "utterances"),
    [("asvspoof2019_la_sample", "train", 103), ("asvspoof2019_la_sample", "dev", 102), ("openla", "eval", 1_006)],
)
def test_real_corpora(shared_data, name: str, partition: corpus.Partition, utterances: int) -> None:
    found = corpus.read_partition(shared_data(name), partition)
    assert len(found) == utterances
    assert all(u.path is not None and u.path.is_file() for u in found)
