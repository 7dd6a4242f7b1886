import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_store.__main__ import main
from model_store.errors import InvalidArtifact, InvalidName, NotFound
from model_store.store import Store, read_manifest, verify
from tests.artifacts import publish

HERE = Path(__file__).parent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with tiny@1 to tiny@3."""
    for _ in range(3):
        publish(tmp_path / "store")
    return tmp_path / "store"


def test_versions_are_integers_not_words(tmp_path: Path) -> None:
    for _ in range(11):
        publish(tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.versions("tiny") == list(range(1, 12))
    assert store.resolve("tiny").name == "11"
    assert store.families() == ["tiny"]


def test_what_is_published_verifies_and_names_itself(root: Path) -> None:
    manifest = verify(Store(root).resolve("tiny@2"))
    assert manifest.name == "tiny@2"
    assert (root / "tiny" / "2" / "card.md").read_text() == "# tiny@2\n"


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert Store(tmp_path / "none").families() == []
    with pytest.raises(NotFound, match=r"has the families \[\]. Received: 'tiny'"):
        Store(tmp_path / "none").resolve("tiny")


@pytest.mark.parametrize("name", ["tiny@0", "tiny@01", "tiny@1\n", "tiny@-1", "tiny@1.0", "tiny@", "tiny@x", "tiny@²"])
def test_what_is_not_a_version_is_refused(root: Path, name: str) -> None:
    with pytest.raises(InvalidName, match="a positive integer"):
        Store(root).resolve(name)


@pytest.mark.parametrize("name", ["../tiny", "Tiny", "", "tiny/1", "tiny\n", ".", "/etc", "t" * 65])
def test_what_is_not_a_family_is_refused(root: Path, name: str) -> None:
    with pytest.raises(InvalidName, match="A family is named"):
        Store(root).resolve(name)


def test_only_real_version_folders_are_versions(root: Path) -> None:
    family = root / "tiny"
    (family / "7").symlink_to(family / "1")
    (family / "08").mkdir()
    (family / "9\n").mkdir()
    (family / ".publishing-4").mkdir()
    (family / "12").touch()
    assert Store(root).versions("tiny") == [1, 2, 3]
    (family / "13").mkdir()
    assert Store(root).versions("tiny") == [1, 2, 3, 13]  # the guard lets a real one through


def test_pin_unpin_and_rollback(root: Path) -> None:
    store = Store(root)
    assert store.resolve("tiny").name == "3"
    assert store.rollback("tiny") == 2
    assert store.resolve("tiny").name == "2"
    assert store.rollback("tiny") == 1
    with pytest.raises(NotFound, match="takes a version before the current one"):
        store.rollback("tiny")
    publish(root)
    assert store.resolve("tiny").name == "1"  # a pin outlives a new version
    store.unpin("tiny")
    assert store.resolve("tiny").name == "4"
    with pytest.raises(NotFound):
        store.pin("tiny", 5)
    (root / "tiny" / "pinned").write_text("../1")
    with pytest.raises(InvalidName, match="A pin holds a version"):
        store.resolve("tiny")


@pytest.mark.parametrize("name", ["model.keras", "card.md"])
def test_a_flipped_bit_is_found(root: Path, name: str) -> None:
    path = root / "tiny" / "1" / name
    data = bytearray(path.read_bytes())
    verify(path.parent)
    data[3] ^= 1
    path.write_bytes(data)
    with pytest.raises(InvalidArtifact, match=rf"SHA-256 that its manifest records. Received: .*{name}"):
        verify(path.parent)


def test_a_truncated_missing_or_linked_file_is_found(root: Path) -> None:
    path = root / "tiny" / "1" / "model.keras"
    original = path.read_bytes()
    path.write_bytes(original[:-1])
    with pytest.raises(InvalidArtifact, match="SHA-256"):
        verify(path.parent)
    path.unlink()
    with pytest.raises(InvalidArtifact, match="regular, readable files"):
        verify(path.parent)
    elsewhere = root / "elsewhere"
    elsewhere.write_bytes(original)
    path.symlink_to(elsewhere)
    with pytest.raises(InvalidArtifact, match="regular, readable files"):
        verify(path.parent)
    path.unlink()
    path.write_bytes(original)
    verify(path.parent)


def edited(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"schema_version": 1}, "schema_version"),
        ({"version": "1\n"}, "version"),
        ({"family": "tiny\n"}, "family"),
        ({"surprise": 1}, "surprise"),
        ({"files": {"model.keras": "0" * 64, "../card.md": "0" * 64}}, "the document"),
        ({"files": {"model.keras": "0" * 64}}, "the document"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused(root: Path, changes: dict[str, object], where: str) -> None:
    folder = root / "tiny" / "1"
    edited(folder)
    read_manifest(folder)
    edited(folder, **changes)
    with pytest.raises(InvalidArtifact, match=f"complete manifest.json.*where {where}"):
        read_manifest(folder)


def test_thresholds_that_do_not_rise_are_refused(root: Path) -> None:
    folder = root / "tiny" / "1"
    output = json.loads((folder / "manifest.json").read_text())["output"]
    output["operating_points"]["low_friction"]["threshold"] = 0.5
    edited(folder, output=output)
    with pytest.raises(InvalidArtifact, match="rise from low_friction to high_security"):
        read_manifest(folder)


def test_a_check_that_fails_leaves_nothing_behind(root: Path) -> None:
    from tests.artifacts import manifest  # noqa: PLC0415

    def refuse(folder: Path) -> None:
        assert (folder / "manifest.json").exists()
        raise InvalidArtifact("no")

    with pytest.raises(InvalidArtifact):
        Store(root).publish(
            model=root / "tiny" / "1" / "model.keras", card=lambda _: "", manifest=manifest, check=refuse
        )
    assert sorted(p.name for p in (root / "tiny").iterdir()) == [".lock", "1", "2", "3"]


KILLED_AT = """
import os, sys
from pathlib import Path
from model_store import store
from tests.artifacts import publish

left = int(sys.argv[2])

def die_at(function):
    def wrapped(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return function(*args, **kwargs)
    return wrapped

for module, name in ((os, "fsync"), (os, "open"), (store.shutil, "copyfile"), (Path, "write_bytes"), (Path, "rename"),
                     (Path, "mkdir")):
    setattr(module, name, die_at(getattr(module, name)))
publish(Path(sys.argv[1]))
"""


def test_killed_at_any_step_a_publish_leaves_a_store_that_verifies(root: Path) -> None:
    """The publisher dies before each of its steps on the disk in turn, until it survives them all."""
    store, deaths = Store(root), 0
    while True:
        done = subprocess.run(
            [sys.executable, "-c", KILLED_AT, str(root), str(deaths + 1)], cwd=HERE.parent, check=False
        )
        for version in store.versions("tiny"):
            assert verify(store.resolve(f"tiny@{version}")).version == version
        if done.returncode == 0:
            break
        assert done.returncode == 9
        deaths += 1
    assert deaths >= 8  # so that there were steps to die at
    assert not list((root / "tiny").glob(".publishing-*"))  # the survivor swept up after the dead


def test_the_command_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["--store", str(root), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    assert [line.split("\t")[0] for line in run("list")[1].splitlines()] == ["  tiny@1", "  tiny@2", "* tiny@3"]
    assert run("pin", "tiny@1") == (0, "tiny now means tiny@1\n", "")
    assert run("unpin", "tiny")[0] == 0
    assert run("rollback", "tiny") == (0, "tiny now means tiny@2\n", "")
    assert json.loads(run("show", "tiny")[1])["version"] == 2
    assert run("verify", "tiny@3") == (0, "tiny@3 is what was published\n", "")
    (root / "tiny" / "3" / "model.keras").write_bytes(b"")
    code, out, err = run("verify", "tiny@3")
    assert (code, out) == (1, "")
    assert "SHA-256" in err
    assert run("pin", "tiny@3")[0] == 1  # what does not verify cannot become what a family means
    assert run("show", "other")[0] == 1
    assert main(["--store", str(root / "nowhere"), "list"]) == 1
    assert capsys.readouterr().err == f"A store is a folder. Received: {root / 'nowhere'}, which is none.\n"


def test_a_family_that_cannot_be_read_hides_no_other(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "locked").mkdir()
    unlocked = Store.versions

    def versions(store: Store, family: str) -> list[int]:
        if family == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(root / "locked"))
        return unlocked(store, family)

    monkeypatch.setattr(Store, "versions", versions)
    assert main(["--store", str(root), "list"]) == 1
    captured = capsys.readouterr()
    assert [line.split("\t")[0] for line in captured.out.splitlines()] == ["  tiny@1", "  tiny@2", "* tiny@3"]
    rule = "The files of a store can be read and written"
    assert captured.err == f"{rule}. Received: Permission denied, {root / 'locked'}.\n"


def test_a_store_that_is_broken_can_be_looked_at_and_mended(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str, list[str]]:
        code = main(["--store", str(root), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    publish(root)
    run("pin", "tiny@3")
    shutil.rmtree(root / "tiny" / "3")
    (root / "tiny" / "2" / "manifest.json").write_text("{}")
    code, out, [pin, manifest] = run("list")
    assert (code, [line.split("\t")[0] for line in out.splitlines()]) == (1, ["  tiny@1", "  tiny@4"])
    assert pin == "tiny has the versions [1, 2, 4]. Received: 3, to which it is pinned."
    assert "An artifact has a complete manifest.json" in manifest
    assert run("rollback", "tiny") == (1, "", [manifest])
    assert run("pin", "tiny@1")[:2] == (0, "tiny now means tiny@1\n")
    (root / "tiny" / "pinned").write_text("9")
    assert run("unlabel", "canary", "tiny")[0] == 0
    assert run("unpin", "tiny")[:2] == (0, "tiny now means tiny@4, its newest version\n")
    run("pin", "tiny@1")
    (root / "tiny" / "4" / "card.md").unlink()
    assert run("unpin", "tiny")[:2] == (1, "")
    assert Store(root).pinned("tiny") == 1
    assert run("unpin", "other")[0] == 1
