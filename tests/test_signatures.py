"""An artifact that nobody trusted has signed is refused before anything opens it; OpenSSL signs and checks the same."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store import detector, store
from model_store.__main__ import main
from model_store.detector import Detector
from model_store.errors import InvalidArtifact, InvalidKey, NotSigned, StoreError
from model_store.signatures import SIGNATURE_BYTES, SigningKey, TrustedKeys, fingerprint, make
from model_store.store import Store, sign, verify
from service.catalogue import Catalogue
from service.telemetry import Telemetry
from tests.artifacts import manifest, publish
from tests.serving import settings

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return make(tmp_path / "key")


@pytest.fixture
def trusted(key: SigningKey, tmp_path: Path) -> TrustedKeys:
    return TrustedKeys.read(tmp_path / "key.pub")


@pytest.fixture
def root(tmp_path: Path, key: SigningKey) -> Path:
    """A store with tiny@1, signed, tiny@2, signed, and tiny@3, not."""
    for version in (1, 2, 3):
        publish(tmp_path / "store")
        if version < 3:
            sign(tmp_path / "store" / "tiny" / str(version), key)
    return tmp_path / "store"


def test_what_a_trusted_key_has_signed_verifies(root: Path, trusted: TrustedKeys) -> None:
    assert verify(root / "tiny" / "1", trusted=trusted).name == "tiny@1"
    assert (root / "tiny" / "1" / "manifest.sig").stat().st_size == SIGNATURE_BYTES
    assert verify(root / "tiny" / "3").name == "tiny@3"  # nobody has to sign where no keys are named


def unsigned(folder: Path) -> None:
    (folder / "manifest.sig").unlink()


def of_another_key(folder: Path) -> None:
    sign(folder, make(folder.parents[2] / "another"))


def of_another_manifest(folder: Path) -> None:
    shutil.copy(folder.parent / "1" / "manifest.sig", folder)


def rolled_back(folder: Path) -> None:
    """The whole of version 1, which was signed in its day, where version 2 was."""
    shutil.rmtree(folder)
    shutil.copytree(folder.parent / "1", folder)


def renamed(folder: Path) -> None:
    """The same, with a manifest that says 2."""
    rolled_back(folder)
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2').replace('"version":1', '"version":2'))
    assert json.loads(path.read_text())["version"] == 2


def other_model(folder: Path) -> None:
    """Another model, and its hash in the manifest."""
    (folder / "model.keras").write_bytes(b"another")
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["files"]["model.keras"] = store.sha256(folder / "model.keras")
    path.write_text(json.dumps(content))


def linked(folder: Path) -> None:
    (folder / "manifest.sig").rename(folder.parent / "elsewhere")
    (folder / "manifest.sig").symlink_to(folder.parent / "elsewhere")


def cut(folder: Path) -> None:
    (folder / "manifest.sig").write_bytes(bytes(SIGNATURE_BYTES - 1))


Refused = tuple[Callable[[Path], None], type[StoreError], str]


@pytest.mark.parametrize(
    "case",
    [
        (unsigned, NotSigned, "without a signature"),
        (of_another_key, NotSigned, "with another signature"),
        (of_another_manifest, NotSigned, "with another signature"),
        (rolled_back, InvalidArtifact, "folder of its family and version. Received: tiny@1 in .*/2"),
        (renamed, NotSigned, "or another manifest"),
        (other_model, NotSigned, "or another manifest"),
        (cut, NotSigned, "with another signature"),
        (linked, InvalidArtifact, "regular, readable files"),
    ],
)
def test_what_is_not_as_it_was_signed_is_refused_before_keras_opens_it(
    root: Path,
    trusted: TrustedKeys,
    monkeypatch: pytest.MonkeyPatch,
    case: Refused,
) -> None:
    attack, error, said = case
    folder, opened = root / "tiny" / "2", []
    monkeypatch.setattr(Detector, "unverified", lambda path, *_, **__: opened.append(path))
    verify(folder, trusted=trusted)
    attack(folder)
    with pytest.raises(error, match=said):
        Detector.load(folder, trusted=trusted)
    assert opened == []
    if attack is not rolled_back and attack is not linked:  # which is refused whoever has to sign
        verify(folder)  # so nothing but the signature found it


def test_what_is_opened_is_what_was_verified(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is replaced between the two."""
    folder, usual = root / "tiny" / "1", detector.verify

    def verified_and_then_replaced(folder: Path, **options: object) -> object:
        found = usual(folder, **options)  # type: ignore[arg-type]
        (folder / "model.keras").write_bytes(b"another")
        return found

    monkeypatch.setattr(detector, "verify", verified_and_then_replaced)
    monkeypatch.setattr(Detector, "unverified", lambda *_, **__: pytest.fail("the file was opened"))
    with pytest.raises(InvalidArtifact, match=r"SHA-256 .* Received: .*model\.keras"):
        Detector.load(folder)
    (folder / "model.keras").write_bytes(b"not a model")
    with store.private_copy(folder, verify(folder), "model.keras") as path:
        (folder / "model.keras").write_bytes(b"another")
        assert path.read_bytes() == b"not a model"
    assert not path.exists()


def test_any_of_the_trusted_keys_will_do(root: Path, key: SigningKey, tmp_path: Path) -> None:
    make(tmp_path / "other")
    file = tmp_path / "trusted.pem"
    file.write_bytes(b"# of last year\n" + (tmp_path / "other.pub").read_bytes() + (tmp_path / "key.pub").read_bytes())
    trusted = TrustedKeys.read(file)
    assert len(trusted.keys) == 2
    verify(root / "tiny" / "1", trusted=trusted)
    with pytest.raises(NotSigned, match=key.fingerprint) as caught:
        verify(root / "tiny" / "3", trusted=trusted)
    assert all(fingerprint(one) in str(caught.value) for one in trusted.keys)


def test_a_file_without_keys_to_trust_is_refused(tmp_path: Path, key: SigningKey) -> None:
    public = (tmp_path / "key.pub").read_bytes()
    contents = [b"", b"text", (tmp_path / "key").read_bytes(), public + (tmp_path / "key").read_bytes()]
    contents += [public.replace(b"M", b"N", 1), public + public.replace(b"MCowBQYDK2Vw", b"MCowBQYDK2Vu")]  # X25519
    for content in contents:
        (tmp_path / "trusted").write_bytes(content)
        with pytest.raises(InvalidKey, match="nothing that is secret. Received: .*trusted"):
            TrustedKeys.read(tmp_path / "trusted")
    for reader in (TrustedKeys, SigningKey):
        with pytest.raises(InvalidKey, match="No such file"):
            reader.read(tmp_path / "nowhere")
    with pytest.raises(InvalidKey, match="a private Ed25519 key"):
        SigningKey.read(tmp_path / "key.pub")


def test_a_key_is_for_its_owner_and_never_overwritten(tmp_path: Path, key: SigningKey) -> None:
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    with pytest.raises(InvalidKey, match="a new file. Received: .*key, File exists"):
        make(tmp_path / "key")
    assert SigningKey.read(tmp_path / "key").fingerprint == key.fingerprint


def test_publishing_can_sign(tmp_path: Path, key: SigningKey, trusted: TrustedKeys) -> None:
    (tmp_path / "model").write_bytes(b"x")
    Store(tmp_path / "store").publish(
        model=tmp_path / "model", card=lambda _: "", manifest=manifest, check=lambda folder: None, key=key
    )
    assert verify(tmp_path / "store" / "tiny" / "1", trusted=trusted).version == 1


@needs_openssl
def test_openssl_makes_and_checks_the_same(root: Path, tmp_path: Path, trusted: TrustedKeys) -> None:
    def openssl(*arguments: str | Path, cwd: Path = tmp_path) -> int:
        return subprocess.run(["openssl", *arguments], cwd=cwd, capture_output=True, check=False).returncode

    signed = root / "tiny" / "1"
    check = ("pkeyutl", "-verify", "-rawin", "-pubin", "-sigfile", "manifest.sig", "-in", "manifest.json", "-inkey")
    assert openssl(*check, tmp_path / "key.pub", cwd=signed) == 0
    make(tmp_path / "other")
    assert openssl(*check, tmp_path / "other.pub", cwd=signed) == 1

    assert openssl("genpkey", "-algorithm", "ed25519", "-out", "theirs") == 0
    assert openssl("pkey", "-in", "theirs", "-pubout", "-out", "theirs.pub") == 0
    theirs = TrustedKeys.read(tmp_path / "theirs.pub")
    assert openssl("pkey", "-in", "theirs", "-aes256", "-passout", "pass:x", "-out", "locked") == 0
    with pytest.raises(InvalidKey, match="not encrypted"):
        SigningKey.read(tmp_path / "locked")
    unsigned = root / "tiny" / "3"
    make_it = ("pkeyutl", "-sign", "-rawin", "-in", "manifest.json", "-out", "manifest.sig", "-inkey")
    assert openssl(*make_it, tmp_path / "theirs", cwd=unsigned) == 0
    verify(unsigned, trusted=theirs)
    with pytest.raises(NotSigned):
        verify(unsigned, trusted=trusted)


def test_the_service_loads_what_is_signed_and_nothing_else(store: Path, tmp_path: Path, key: SigningKey) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    demanding = settings(copy, signing_keys=tmp_path / "key.pub", runtime="onnx")
    with pytest.raises(NotSigned, match=r"Received: .*simple_cnn/1, without a signature"):
        Catalogue(demanding, Telemetry()).refresh()
    assert main(["--store", str(copy), "sign", "simple_cnn@1", "--key", str(tmp_path / "key")]) == 0
    assert len(Catalogue(demanding, Telemetry()).refresh().roles()) == 1
    assert settings(copy, signing_keys="").signing_keys is None  # as compose says "nobody"


def test_the_commands(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str | Path) -> tuple[int, str]:
        code = main(["--store", str(root), *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    code, said = run("keygen", tmp_path / "mine")
    name = said.partition(",")[0]
    assert (code, name) == (0, SigningKey.read(tmp_path / "mine").fingerprint)
    assert "without a signature" in run("verify", "tiny@3", "--keys", tmp_path / "mine.pub")[1]
    assert run("sign", "tiny@3", "--key", tmp_path / "mine") == (0, f"tiny@3 is signed by {name}\n")
    assert run("verify", "tiny@3", "--keys", tmp_path / "mine.pub") == (0, "tiny@3 is what was published\n")
    assert run("verify", "tiny@3", "--keys", tmp_path / "key.pub")[0] == 1
    assert run("keygen", tmp_path / "mine")[0] == 1
    (root / "tiny" / "3" / "model.keras").write_bytes(b"")
    assert "SHA-256" in run("sign", "tiny@3", "--key", tmp_path / "mine")[1]  # what does not verify is not signed
