"""canary and shadow on the disk: who may have them, and what a broken file of them is."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store.__main__ import main
from model_store.errors import InvalidArtifact, InvalidName, NotFound
from model_store.labels import LABELS_FILE, Labelled, Labels, promote, read_labels, remove_label, set_label
from model_store.store import Store
from tests.artifacts import publish


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """tiny@1 to tiny@3, pinned to the first."""
    for _ in range(3):
        publish(tmp_path / "store")
    store = Store(tmp_path / "store")
    store.pin("tiny", 1)
    return store


def test_labels_are_set_replaced_and_taken_away(store: Store) -> None:
    assert read_labels(store, "tiny") == Labels()
    set_label(store, "canary", "tiny@2", share=0.25)
    set_label(store, "shadow", "tiny@3", share=1.0)
    assert read_labels(store, "tiny") == Labels(
        canary=Labelled(version=2, share=0.25), shadow=Labelled(version=3, share=1.0)
    )
    set_label(store, "canary", "tiny@3", share=0.5)
    remove_label(store, "shadow", "tiny")
    assert read_labels(store, "tiny") == Labels(canary=Labelled(version=3, share=0.5))
    assert store.resolve("tiny").name == "1"  # whatever is labelled
    assert sorted(p.name for p in (store.root / "tiny").iterdir()) == [".lock", "1", "2", "3", LABELS_FILE, "pinned"]


def test_commands_at_the_same_time_lose_no_label(store: Store) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            list(pool.map(lambda label: set_label(store, label, "tiny@2", share=1.0), ("canary", "shadow")))
            both = Labelled(version=2, share=1.0)
            assert read_labels(store, "tiny") == Labels(canary=both, shadow=both)
            list(pool.map(lambda label: remove_label(store, label, "tiny"), ("canary", "shadow")))
            assert read_labels(store, "tiny") == Labels()


def test_a_canary_is_promoted(store: Store) -> None:
    with pytest.raises(NotFound, match="which has none"):
        promote(store, "tiny")
    set_label(store, "canary", "tiny@2", share=0.1)
    set_label(store, "shadow", "tiny@3", share=0.1)
    card = store.root / "tiny" / "2" / "card.md"
    card.rename(card.with_name("elsewhere"))
    with pytest.raises(InvalidArtifact):
        promote(store, "tiny")
    assert store.resolve("tiny").name == "1"
    card.with_name("elsewhere").rename(card)
    assert promote(store, "tiny") == 2
    assert store.resolve("tiny").name == "2"
    assert read_labels(store, "tiny") == Labels(shadow=Labelled(version=3, share=0.1))


@pytest.mark.parametrize(
    ("name", "share", "said"),
    [
        ("tiny@1", 0.5, "beside the version that its family is pinned to. Received: tiny@1, and tiny is pinned to it"),
        ("tiny@2", 0.0, "A share is above 0"),
        ("tiny@2", 1.01, "A share is above 0"),
        ("tiny@2", float("nan"), "A share is above 0"),
    ],
)
def test_what_cannot_be_labelled_is_refused(store: Store, name: str, share: float, said: str) -> None:
    with pytest.raises(InvalidName, match=said):
        set_label(store, "canary", name, share=share)
    assert not (store.root / "tiny" / LABELS_FILE).exists()
    with pytest.raises(NotFound):
        set_label(store, "canary", "tiny@4", share=0.5)


def test_without_a_pin_a_new_version_would_answer_everybody(store: Store) -> None:
    store.unpin("tiny")
    with pytest.raises(InvalidName, match="tiny is not pinned"):
        set_label(store, "shadow", "tiny@2", share=0.5)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "the document"),
        ('{"canary": 2}', "canary"),
        ('{"canary": {"version": "2", "share": 0.5}}', "canary.version"),
        ('{"canary": {"version": 2, "share": 2}}', "canary.share"),
        ('{"cannary": {"version": 2, "share": 0.5}}', "cannary"),
        ('{"canary": {"version": 2, "share": 0.5}}' + " " * 5_000 + "}", "the document"),
    ],
)
def test_a_file_that_is_not_one_of_labels_is_refused_and_can_be_replaced(store: Store, text: str, where: str) -> None:
    for change, found in (
        (lambda: set_label(store, "canary", "tiny@3", share=0.5), Labels(canary=Labelled(version=3, share=0.5))),
        (lambda: remove_label(store, "shadow", "tiny"), Labels()),
    ):
        (store.root / "tiny" / LABELS_FILE).write_text(text)
        with pytest.raises(InvalidName, match=f"that of tiny, where {where}:"):
            read_labels(store, "tiny")
        change()
        assert read_labels(store, "tiny") == found


def test_the_command_line(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["--store", str(store.root), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    assert run("label", "canary", "tiny@2", "--share", "0.05") == (0, "tiny@2 is the canary of 5 % of requests\n", "")
    assert run("label", "shadow", "tiny@3", "--share", "1")[0] == 0
    assert [line[:8] for line in run("list")[1].splitlines()] == ["* tiny@1", "c tiny@2", "s tiny@3"]
    store.pin("tiny", 2)
    assert [line[:8] for line in run("list")[1].splitlines()] == ["  tiny@1", "* tiny@2", "s tiny@3"]
    assert run("promote", "tiny") == (0, "tiny now means tiny@2\n", "")
    assert run("unlabel", "shadow", "tiny") == (0, "tiny has no shadow\n", "")
    (store.root / "tiny" / "3" / "model.keras").write_bytes(b"")
    code, _, err = run("label", "canary", "tiny@3", "--share", "0.5")
    assert (code, "SHA-256" in err) == (1, True)
    assert read_labels(store, "tiny") == Labels()


def test_a_store_that_cannot_be_read_or_written_to_is_said_in_a_sentence(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["--store", str(store.root), "pin", "tiny@2"]) == 1
    assert capsys.readouterr().err == (
        "The files of a store can be read and written. Received: No space left on device.\n"
    )
    monkeypatch.undo()
    (store.root / "tiny" / LABELS_FILE).mkdir()
    assert main(["--store", str(store.root), "list"]) == 1
    assert capsys.readouterr().err.endswith(f"Is a directory, {store.root / 'tiny' / LABELS_FILE}.\n")
    (store.root / "tiny" / LABELS_FILE).rmdir()
    assert store.resolve("tiny").name == "1"
    assert sorted(p.name for p in (store.root / "tiny").iterdir()) == [".lock", "1", "2", "3", "pinned"]
