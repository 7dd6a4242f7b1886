"""What a caller sends stays with the caller: a word is sent in every place that takes any, and looked for after."""

import base64
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service import keys
from service.chain import AuditKey
from service.chain_check import verify
from tests.signals import clip, speech
from tests.test_process import started

CANARY = b"Canary-7f3a91-Serinus"
FORMS = {  # as it would look if it had been encoded on its way
    "plain": CANARY,
    "lower": CANARY.lower(),
    "hex": CANARY.hex().encode(),
    "utf-16": CANARY.decode().encode("utf-16-le"),
    **{f"base64-{n}": base64.b64encode(bytes(n) + CANARY)[4:24] for n in range(3)},
}


def marked(seconds: float = 1.5) -> bytes:
    """A clip with the word in its samples and in a comment."""
    data = bytearray(clip(speech(seconds=seconds, sample_rate=8_000), sample_rate=8_000))
    data[4_000 : 4_000 + len(CANARY)] = CANARY
    comment = CANARY + b"\0" * (len(CANARY) % 2)
    data += b"LIST" + struct.pack("<I", 12 + len(comment)) + b"INFOICMT" + struct.pack("<I", len(comment)) + comment
    data[4:8] = struct.pack("<I", len(data) - 8)
    return bytes(data)


def places(*roots: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below some folders: its name with its content."""
    for root in roots:
        for path in sorted(root.rglob("*")):
            yield str(path.relative_to(root)), path.read_bytes() if path.is_file() else b""


def seen(found: Iterator[tuple[str, bytes]], *others: bytes) -> list[tuple[str, str]]:
    """Where the word is, or one of `others`, and in which form."""
    forms = FORMS | {f"other-{n}": other for n, other in enumerate(others)}
    return [
        (name, form)
        for name, content in found
        for form, value in forms.items()
        if value in content or value in name.encode()
    ]


def test_nothing_that_a_caller_sends_is_kept(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, trail, temporary = (tmp_path / name for name in ("out", "trail", "tmp"))
    for folder in (out, trail, temporary):
        folder.mkdir()
    (tmp_path / "key").write_bytes(bytes(range(32)))
    _, text = keys.make(tmp_path / "keys.json", client="ivr", scopes=("admin",))
    monkeypatch.setenv("TMPDIR", str(temporary))
    word, audio = CANARY.decode(), marked()
    name = f"{word}.wav"
    settings = {
        "keys": tmp_path / "keys.json",
        "audit_dir": trail,
        "audit_key_file": tmp_path / "key",
        "log_level": "DEBUG",
        "deadline_seconds": 60,
    }
    with started(out, store=store, **settings) as service:
        with httpx.Client(
            base_url=service.url(), trust_env=False, timeout=60, headers={"X-API-Key": text, "User-Agent": word}
        ) as client:
            while client.get("/health/ready").status_code != 200:
                time.sleep(0.05)
            large = marked(70.0)  # what would be spooled, if anything were
            answers = [
                client.post("/detect", content=audio, headers={"Content-Type": f"audio/{word}"}),
                client.post(f"/detect?explain=true&{word}={word}", files={"file": (name, audio)}, data={word: word}),
                client.post("/batch", files=[("files", (name, audio)), ("files", (name, large))]),
                client.post("/detect", content=CANARY),
                client.post("/detect", content=b"RIFF" + 4 * b"\xff" + b"WAVE" + CANARY),
                client.post(f"/detect?model={word}", content=audio),
                client.post(f"/detect?threshold={word}", content=audio),
                client.post("/detect", content=audio, headers={"X-API-Key": word}),
                client.post("/detect", content=audio, headers={"X-API-Key": f"{'0' * 16}.{word:A<43}"}),
                client.post("/detect", content=audio, headers={"Authorization": f"Basic {word}", "X-API-Key": ""}),
                client.get(f"/{word}", headers={"traceparent": word, "X-Request-ID": f"not an id: {word}"}),
                client.get(f"/models/{word}/versions/1"),
                client.get(f"/static-offline-docs/{word}"),
            ]
            assert [answer.status_code for answer in answers] == [
                *(200, 200, 200, 415, 422, 404, 422, 401, 401, 401, 404, 404, 404)
            ]
            (out / "metrics").write_bytes(client.get("/metrics").content)
        service.process.terminate()
        assert service.process.wait(60) == 0
    secret = text.partition(".")[2].encode()
    assert seen(places(out, trail, temporary), secret) == []
    [path] = trail.glob("*.jsonl")
    key = AuditKey.read(tmp_path / "key")
    assert key.of_audio(audio) in path.read_text()  # all that is kept of a clip
    assert verify([path], key).lines == 1 + 4

    for form, value in FORMS.items():  # each would have been seen
        (temporary / "planted").write_bytes(b"before " + value + b" after")
        assert ("planted", form) in seen(places(temporary))
    (temporary / "planted").rename(temporary / word)
    assert (word, "plain") in seen(places(temporary))
