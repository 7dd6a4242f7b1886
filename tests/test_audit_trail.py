"""The audit trail behind the service: a line for every decision before its answer, or no answer."""

import hashlib
import hmac
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model_store import runtimes
from model_store.store import Store
from service import __main__, audit, audit_files, keys
from service.app import create_app
from service.audit import Trail
from service.audit_commands import differences
from service.audit_files import Files
from service.chain import AuditError, AuditKey
from service.chain_check import verify
from service.telemetry import Telemetry
from tests.serving import Client, serving, settings
from tests.signals import clip, speech
from tests.test_problems import check

CLIP = clip(speech(seconds=1.5, sample_rate=8_000), sample_rate=8_000)
OTHER = clip(speech(seconds=1.2, sample_rate=8_000, seed=1), sample_rate=8_000)
SECRET = bytes(range(40))


@dataclass
class Audited:
    client: Client
    folder: Path
    key: AuditKey

    def decisions(self, count: int) -> list[dict[str, Any]]:
        """The last decisions on the disk, as soon as they are there."""
        patience = time.monotonic() + 5
        while True:
            [path] = self.folder.glob("*.jsonl")
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found = [line for line in lines if line["kind"] == "decision"]
            written = self.client.app.state.trail._waiting
            if len(found) >= count and not written:
                return found[-count:]
            assert time.monotonic() < patience, "the lines are not there"
            time.sleep(0.01)


def knobs(tmp_path: Path, **values: Any) -> dict[str, Any]:
    folder, key_file = tmp_path / "trail", tmp_path / "key"
    folder.mkdir()
    key_file.write_bytes(SECRET)
    return {"audit_dir": folder, "audit_key_file": key_file, **values}


@pytest.fixture(scope="module")
def audited(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    path = tmp_path_factory.mktemp("audited")
    values = knobs(path)
    with serving(store, **values) as client:
        yield Audited(client, values["audit_dir"], AuditKey.read(values["audit_key_file"]))


def test_a_decision_has_a_line(audited: Audited) -> None:
    answer = audited.client.post("/detect?threshold=-1e6", files={"file": ("secret-name.wav", CLIP)}).json()
    [line] = audited.decisions(1)
    assert line.pop("time").startswith("20")
    assert line.pop("seq") >= 1
    assert len(line.pop("prev")) == 64
    derived = hmac.digest(SECRET, b"bonafide audio", "sha256")
    assert line == {
        "kind": "decision",
        "request_id": answer["request_id"],
        "key": None,
        "model": "simple_cnn",
        "version": 1,
        "sha256": answer["model"]["sha256"],
        "audio": hmac.new(derived, CLIP, hashlib.sha256).hexdigest(),
        "format": "WAV/PCM_16",
        "sample_rate_hz": 8_000,
        "channels": 1,
        "asked_channel": None,
        "channel": 0,
        "duration_seconds": 1.5,
        "score": answer["score"],
        "operating_point": "custom",
        "threshold": -1e6,
        "verdict": "bonafide",
        "reasons": [],
    }


def test_each_clip_of_a_batch_that_is_scored_has_a_line(audited: Audited) -> None:
    audited.client.post("/detect", content=OTHER)
    answer = audited.client.post("/batch", files=[("files", CLIP), ("files", b"not audio"), ("files", CLIP)]).json()
    lines = audited.decisions(3)
    assert [line["request_id"] == answer["request_id"] for line in lines] == [False, True, True]


def test_the_callers_key_is_in_the_line_by_its_id(store: Path, tmp_path: Path) -> None:
    key, text = keys.make(tmp_path / "keys.json", client="ivr", scopes=("detect",))
    values = knobs(tmp_path, keys=tmp_path / "keys.json")
    with serving(store, **values) as client:
        client.post("/detect", content=CLIP, headers={"X-API-Key": text})
        client.post("/detect", content=CLIP)  # refused: no decision
    paths = list(values["audit_dir"].glob("*.jsonl"))
    line = paths[0].read_text().splitlines()[-1]
    assert json.loads(line)["key"] == key.id
    assert text[17:] not in line
    result = verify(paths, AuditKey.read(values["audit_key_file"]))
    assert (result.findings, result.notes, result.lines) == ([], [], 2)  # it has ended as it should


# When there can be no line


def test_a_decision_without_a_line_is_not_answered(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit, "_RETRY_SECONDS", 0.05)
    usual = audited.client.post("/detect", content=CLIP).json()
    before = len(audited.decisions(1))

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def failing() -> float:
        text = audited.client.get("/metrics").text
        return float(text.split("\nbonafide_audit_failing ")[1].split()[0])

    with monkeypatch.context() as patched:
        patched.setattr(audit_files.os, "write", full)
        kept = audited.client.post("/detect", content=CLIP)
        assert kept.status_code == 200  # the trail has it, though the disk does not
        patience = time.monotonic() + 5
        while not failing():
            assert time.monotonic() < patience
        for _ in range(3):
            answer = audited.client.post("/detect", content=CLIP)
            check(answer, "audit_unavailable")
            assert answer.headers["Retry-After"] == "1"
        [item] = audited.client.post("/batch", files={"files": CLIP}).json()["results"]
        assert item["problem"]["code"] == "audit_unavailable"
        assert audited.client.get("/health/ready").status_code == 200
    [told] = [record for record in caplog.records if "audit trail" in record.message]  # once, not each second
    assert "No space left" in told.message
    while failing():
        assert time.monotonic() < patience
    assert audited.client.post("/detect", content=CLIP).json()["score"] == pytest.approx(usual["score"], abs=1e-4)
    lines = audited.decisions(before + 2)
    assert lines[-2]["request_id"] == kept.json()["request_id"]


def trail(tmp_path: Path, *, required: bool, sync_seconds: float = 0.0) -> tuple[Trail, Path, AuditKey]:
    values = knobs(tmp_path)
    key = AuditKey.read(values["audit_key_file"])
    files = Files(values["audit_dir"], key, max_bytes=1 << 20)
    made = Trail(files, Telemetry(), key=key, required=required, sync_seconds=sync_seconds)
    return made, values["audit_dir"], key


def test_what_is_answered_without_a_line_is_counted_in_the_trail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_QUEUE_LINES", 3)
    monkeypatch.setattr(audit, "_RETRY_SECONDS", 0.02)
    made, folder, key = trail(tmp_path, required=False)
    with monkeypatch.context() as patched:
        patched.setattr(Files, "write", refuse)
        made.start()
        for n in range(8):
            made.record({"n": n})
    patience = time.monotonic() + 5
    while made._lost:
        assert time.monotonic() < patience, "the loss is not in the trail"
        time.sleep(0.01)
    made.record({"n": 8})
    made.stop()
    [path] = folder.glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["n"] for line in lines if line["kind"] == "decision"] == [0, 1, 2, 8]
    assert [line["decisions"] for line in lines if line["kind"] == "lost"] == [5]
    assert verify([path], key).findings == []


def test_what_was_written_is_signed_though_nothing_more_comes(tmp_path: Path) -> None:
    made, folder, _ = trail(tmp_path, required=True, sync_seconds=0.1)
    made.start()
    made.record({})
    patience = time.monotonic() + 5
    while not (tails := list(folder.glob("*.tail"))) or json.loads(tails[0].read_bytes())["seq"] < 1:
        assert time.monotonic() < patience, "the tail is not of the line"
        time.sleep(0.01)
    made.stop()


def refuse(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_writer_that_has_died_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a fault")

    made, _, _ = trail(tmp_path, required=True)
    with pytest.raises(Exception, match="Received: one that it cannot take now"):
        made.record({})  # nor before it lives
    monkeypatch.setattr(Files, "write", broken)
    made.start()
    made._thread.join(5)
    assert [r.levelname for r in caplog.records if "has died" in r.message] == ["CRITICAL"]
    with pytest.raises(Exception, match="Received: one that it cannot take now"):
        made.record({})


def test_a_burst_is_one_chain(tmp_path: Path) -> None:
    made, folder, key = trail(tmp_path, required=True)
    made.start()
    for n in range(3_000):
        made.record({"n": n})
    made.stop()
    [path] = folder.glob("*.jsonl")
    assert [json.loads(line)["n"] for line in path.read_text().splitlines()[1:]] == list(range(3_000))
    assert verify([path], key).lines == 3_001


def test_a_trail_that_cannot_be_written_stops_the_start(store: Path, tmp_path: Path) -> None:
    values = knobs(tmp_path)
    for change, said in (
        ({"audit_key_file": None}, "BONAFIDE_AUDIT_DIR alone"),
        ({"audit_key_file": tmp_path / "nothing"}, "No such file"),
        ({"audit_dir": tmp_path / "nothing"}, "can be written to"),
    ):
        with pytest.raises(AuditError, match=said):
            create_app(settings(store, **values | change))


# Again


def test_a_decision_can_be_made_again(audited: Audited, store: Path) -> None:
    raw = bytes(CLIP[44:])
    sent: list[tuple[bytes, str, str]] = [
        (CLIP, "audio/wav", ""),
        (raw, "audio/L16;rate=8000", "?threshold=1e6"),
        (raw, "audio/x-mulaw;rate=8000;channels=2", ""),
        (
            clip(speech(seconds=1, sample_rate=8_000)[:, None].repeat(2, 1), sample_rate=8_000),
            "audio/wav",
            "?channel=1",
        ),
    ]
    for data, media_type, query in sent:
        answer = audited.client.post(f"/detect{query}", content=data, headers={"Content-Type": media_type})
        assert answer.status_code == 200, answer.text
        [entry] = audited.decisions(1)
        assert differences(entry, data, audited.key, Store(store)) == []

    def said(data: bytes = data, **change: Any) -> str:
        return "; ".join(differences(entry | change, data, audited.key, Store(store)))

    assert "the clip is another" in said(data[:-2])
    assert f"and that line has {entry['score'] + 2e-4:.6f}" in said(score=entry["score"] + 2e-4)
    assert "the verdict is" in said(threshold=-1e6) + said(threshold=1e6)
    assert "of this store is another" in said(sha256="0" * 64)
    assert "Received: 9" in said(version=9)


def test_the_commands(
    audited: Audited,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    audited.client.post("/detect", content=CLIP)
    audited.decisions(1)
    [path] = audited.folder.glob("*.jsonl")
    (tmp_path / "clip").write_bytes(CLIP)
    (tmp_path / "other").write_bytes(OTHER)
    monkeypatch.setenv("BONAFIDE_STORE", str(store))
    monkeypatch.setenv("BONAFIDE_AUDIT_KEY_FILE", str(audited.folder.parent / "key"))

    def command(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["service", *map(str, arguments)])
        status = __main__.main()
        return status, "".join(capsys.readouterr())

    last = len(path.read_text().splitlines())
    assert command("verify-audit", path)[0] == 0
    assert command("replay", path, "--line", last, "--audio", tmp_path / "clip") == (
        0,
        "the clip has the score and the verdict of that line\n",
    )
    with monkeypatch.context() as without_keras:
        without_keras.setattr(runtimes, "find_spec", lambda name: name == "onnxruntime" or None)
        replay = ("replay", path, "--line", last, "--audio", tmp_path / "clip")
        assert "Received: keras, tensorflow" in command(*replay)[1]
        without_keras.setenv("BONAFIDE_RUNTIME", "onnx")
        assert command(*replay)[0] == 0
    status, said = command("replay", path, "--line", last, "--audio", tmp_path / "other")
    assert (status, "the clip is another" in said) == (1, True)
    for line in (0, 1, last + 1):  # no line, a head, no line
        status, said = command("replay", path, "--line", line, "--audio", tmp_path / "clip")
        assert (status, f"Received: line {line} of" in said) == (1, True)
    (tmp_path / "cut").write_text('{"kind": "decision", "model": "simple_cnn"}\n')
    status, said = command("replay", tmp_path / "cut", "--line", 1, "--audio", tmp_path / "clip")
    assert (status, said) == (1, "A line that is replayed is a whole decision. Received: line 1 of cut.\n")
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes().replace(b"simple_cnn", b"other_cnn", 1))
    copy.with_name(f"{copy.name}.tail").write_bytes(path.with_name(f"{path.name}.tail").read_bytes())
    status, said = command("verify-audit", copy)
    assert (status, "changed" in said) == (1, True)
