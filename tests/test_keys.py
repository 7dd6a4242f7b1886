"""The keys file: how keys are made, kept, told apart and ended."""

import hashlib
import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service import keys
from service.keys import KeysError
from service.limits import Bucket
from tests.test_process import ROOT, environment

NOW = datetime.now(UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def found(path: Path, text: str, *, now: datetime = NOW) -> keys.Key | None:
    return keys.read(path).find(text, now=now)


def test_a_key_is_found_by_its_secret_alone(path: Path) -> None:
    key, text = keys.make(path, client="ivr", scopes=("detect", "batch"))
    other, _ = keys.make(path, client="ivr", scopes=("detect",))
    assert found(path, text) == key
    identity, _, secret = text.partition(".")
    for wrong in (
        *("", ".", identity, secret, f".{secret}", f"{identity}.", text + "\n", " " + text, text[:-1], text + "A"),
        *(f"{identity}.{'A' * 43}", f"{other.id}.{secret}", f"{'0' * 16}.{secret}", f"{identity}.{secret[:-1]}\u00e9"),
    ):
        assert found(path, wrong) is None, wrong


def test_a_key_made_before_opens_still() -> None:
    """Known answer: the hash is BLAKE2b (RFC 7693) of 32 bytes, with the key's salt and this personalisation."""
    secret = "s" * 43
    hashed = "a890fda305828af7c8f09d24805e015d65c201a6ae7254487f6c02d79fec2a9c"
    key = keys.Key(id="0" * 16, client="ivr", scopes=("detect",), salt=bytes(range(16)).hex(), hash=hashed, created=NOW)
    assert keys.Keys(keys=(key,)).find(f"{key.id}.{secret}", now=NOW) == key


def test_the_file_has_no_secret_and_is_its_owners(path: Path) -> None:
    texts = [keys.make(path, client=client, scopes=("detect",))[1] for client in ("one", "two")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.read_text()
    for text in texts:
        identity, _, secret = text.partition(".")
        assert identity in written
        assert secret not in written
    assert len({key.salt for key in keys.read(path).keys}) == 2


def test_an_unknown_id_costs_what_a_wrong_secret_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = keys.make(path, client="ivr", scopes=("detect",))
    _, gone = keys.make(path, client="ivr", scopes=("detect",))
    keys.revoke(path, gone[:16])
    ring, counted, compared = keys.read(path), [], []
    hashed, compare = hashlib.blake2b, keys.hmac.compare_digest
    monkeypatch.setattr(keys.hashlib, "blake2b", lambda data, **how: counted.append(len(data)) or hashed(data, **how))
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: compared.append(len(b)) or compare(a, b))
    for sent in (text, text[:17] + 43 * "A", "f" * 16 + text[16:], gone):  # right, wrong, unknown, revoked
        counted.clear()
        compared.clear()
        ring.find(sent, now=NOW)
        assert (counted, compared) == ([43], [32])
    ring.find("not a key", now=NOW)
    assert len(counted) == 1  # the count can differ: what is no key at all is not hashed


def test_a_key_ends(path: Path) -> None:
    key, text = keys.make(path, client="ivr", scopes=("detect",), days=30)
    assert key.expires is not None
    assert found(path, text, now=key.expires - timedelta(seconds=1)) == key
    assert found(path, text, now=key.expires) is None
    revoked = keys.revoke(path, key.id)
    assert (found(path, text), revoked.state(NOW)) == (None, "revoked")
    assert keys.revoke(path, key.id) == revoked  # again: when it ended does not change
    with pytest.raises(KeysError, match="Received: 'nothing'"):
        keys.revoke(path, "nothing")


def test_a_client_has_two_live_keys_for_rotation(path: Path) -> None:
    first, _ = keys.make(path, client="ivr", scopes=("detect",))
    keys.make(path, client="ivr", scopes=("detect",), days=1)
    with pytest.raises(KeysError, match="a third for ivr"):
        keys.make(path, client="ivr", scopes=("detect",))
    keys.make(path, client="another", scopes=("detect",))
    keys.revoke(path, first.id)
    keys.make(path, client="ivr", scopes=("detect",))
    keys.make(path, client="ivr", scopes=("detect",), now=NOW + timedelta(days=2))  # one of the two has expired
    assert len(keys.read(path).keys) == 5


def test_commands_at_the_same_time_lose_no_key(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: keys.make(path, client=f"c{n}", scopes=("detect",))[0], range(24)))
    assert {key.id for key in keys.read(path).keys} == {key.id for key in made}
    assert sorted(other.name for other in path.parent.iterdir()) == [".keys.json.lock", "keys.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content | {"schema_version": 2}, "schema_version"),
        (lambda content: content | {"other": 1}, "other"),
        (lambda content: content | {"keys": content["keys"] * 2}, "ids of keys differ"),
        (lambda content: content | {"limits": {"requests_per_minute": 0}}, "requests_per_minute"),
        (lambda content: content | {"keys": [content["keys"][0] | {"scopes": ["root"]}]}, "scopes"),
        (lambda content: content | {"keys": [content["keys"][0] | {"scopes": []}]}, "scopes"),
        (lambda content: content | {"keys": [content["keys"][0] | {"hash": "00"}]}, "hash"),
        (lambda content: content | {"keys": [content["keys"][0] | {"expires": "2030-01-01T00:00:00"}]}, "expires"),
        (lambda content: [], "the file"),
    ],
)
def test_a_file_of_another_shape_is_refused(path: Path, change: Any, said: str) -> None:
    keys.make(path, client="ivr", scopes=("detect",))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content))
    keys.read(path)
    path.write_text(json.dumps(change(content)))
    with pytest.raises(KeysError, match=said) as raised:
        keys.read(path)
    assert content["keys"][0]["hash"] not in str(raised.value)


def test_a_file_that_cannot_be_written_is_told_and_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.make(path, client="ivr", scopes=("detect",))
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys.os, "fsync", full)
    with pytest.raises(keys.KeysError, match="No space left on device"):
        keys.make(path, client="other", scopes=("detect",))
    assert path.read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} == {path.name, f".{path.name}.lock"}


def test_a_file_that_others_may_write_to_is_refused(path: Path) -> None:
    keys.make(path, client="ivr", scopes=("detect",))
    for mode in (0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(KeysError, match=f"{mode:o}"):
            keys.read(path)
    path.chmod(0o644)
    keys.read(path)
    with pytest.raises(KeysError, match="No such file"):
        keys.read(path.with_name("nothing"))


@pytest.mark.parametrize("client", ["", "IVR", "two words", "ivr\n", "x" * 65, "../ivr"])
def test_a_name_of_another_shape_is_refused(path: Path, client: str) -> None:
    with pytest.raises(KeysError, match="A client's name"):
        keys.make(path, client=client, scopes=("detect",))
    assert not path.exists()


def test_a_bucket_holds_a_minutes_worth() -> None:
    now = [0.0]
    bucket = Bucket(per_minute=60, clock=lambda: now[0])
    assert bucket.seconds_until(60) == 0
    assert bucket.seconds_until(61) == 1
    bucket.take(60)
    assert bucket.seconds_until(1) == 1
    now[0] = 0.75
    assert bucket.seconds_until(1) == 0.25
    bucket.take(30.75)  # overdrawn
    assert bucket.seconds_until(1) == 31
    now[0] = 1_000
    assert bucket.seconds_until(60) == 0
    assert bucket.seconds_until(61) == 1  # however long nobody came
    bucket.per_minute = 6
    assert bucket.seconds_until(7) == 10
    now[0] = 2_000
    bucket.take(6)  # after work, during which it was full
    assert bucket.seconds_until(6) == 60


def command(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_commands(path: Path) -> None:
    made = command("keys", "make", "--client", "ivr", "--scope", "detect", "--scope", "batch", "--days", "9", keys=path)
    assert made.returncode == 0, made.stderr
    text = made.stdout.strip()
    key = found(path, text)
    assert key is not None
    assert (key.client, key.scopes) == ("ivr", ("detect", "batch"))
    assert key.expires is not None
    assert key.expires - key.created == timedelta(days=9)
    assert text[17:] not in made.stderr  # only where a script takes it from

    assert command("keys", "--file", str(path), "revoke", key.id).stdout == f"{key.id} is revoked\n"
    listed = command("keys", "list", keys=path)
    [line] = listed.stdout.splitlines()
    assert line.split("\t")[:3] == [key.id, "ivr", "detect,batch"]
    assert line.endswith("revoked")
    assert text[17:] not in listed.stdout

    for days in ("0", "36500", "nan"):
        refused = command("keys", "make", "--client", "ivr", "--scope", "detect", "--days", days, keys=path)
        assert (refused.returncode, "less than 36500 days. Received: " in refused.stderr) == (1, True)

    nowhere = command("keys", "list")
    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert "Received: neither." in nowhere.stderr


def test_a_service_does_not_start_open_when_its_keys_cannot_be_used(path: Path) -> None:
    done = command(keys=path, port=0)
    assert done.returncode == 1
    [line] = done.stdout.splitlines()
    assert json.loads(line)["message"].startswith("cannot start: A keys file can be read. Received: ")
    assert "Traceback" not in done.stderr
