"""The audit trail's format: lines that each hold the hash of the one before, and a signed tail beside each file.

A file's first line is its head. An instance's first head has a random nonce; those after a rotation go on with the
chain. Each other line is a decision, or says how many were lost. The hash is SHA-256 of the line before, as written.
Whoever can write could make a whole new chain of hashes. So `FILE.tail` holds the last line's number and hash under an
HMAC-SHA256 (RFC 2104), whose key the writer of a forged chain does not have; it also shows where a file was cut.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

GENESIS = "0" * 64
KEY_BYTES = 32
TailState = Literal["open", "rotated", "ended"]


class AuditError(Exception):
    """An audit trail, or its key, that cannot be used."""


@dataclass(frozen=True, slots=True)
class AuditKey:
    """Two keys made from the one in the file, so that neither use tells anything of the other; and a name for it."""

    audio: bytes
    tail: bytes
    name: str

    @classmethod
    def read(cls, path: Path) -> "AuditKey":
        """The key in a file, for example of ``head -c 32 /dev/urandom``.

        Raises
        ------
        AuditError
            The file cannot be read, or is too short for a key.
        """
        try:
            secret = path.read_bytes()
        except OSError as error:
            raise AuditError(f"An audit key's file can be read. Received: {path}, {error.strerror}.") from None
        if len(secret) < KEY_BYTES:
            raise AuditError(f"An audit key has {KEY_BYTES} bytes at least. Received: {path}, {len(secret)} bytes.")
        audio, tail, name = (
            hmac.digest(secret, use, "sha256") for use in (b"bonafide audio", b"bonafide tail", b"bonafide name")
        )
        return cls(audio, tail, name.hex()[:16])

    def of_audio(self, data: bytes) -> str:
        """What stands for a clip: whoever has the clip and the key can tell that it was this one, and nobody else."""
        return hmac.digest(self.audio, data, "sha256").hex()


def line_of(entry: dict[str, Any], *, seq: int, previous: str) -> bytes:
    """An entry as it is written, with its newline."""
    return json.dumps({**entry, "seq": seq, "prev": previous}, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def hash_of(line: bytes) -> str:
    """What the next line holds of this one, which has its newline."""
    return hashlib.sha256(line).hexdigest()


def tail_path(path: Path) -> Path:
    """Where a file's tail is."""
    return path.with_name(f"{path.name}.tail")


def tail_of(key: AuditKey, *, file: str, state: TailState, seq: int, last: str) -> bytes:
    """A file's tail, as it is written: its last line's number and hash, signed."""
    content = {"file": file, "state": state, "seq": seq, "hash": last}
    signed = hmac.digest(key.tail, json.dumps(content).encode(), "sha256").hex()
    return json.dumps({**content, "mac": signed}).encode() + b"\n"
