"""The audit trail's files: written whole or not at all, signed, and closed by size and by day."""

import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.chain import GENESIS, AuditKey, TailState, hash_of, line_of, tail_of, tail_path
from service.telemetry import log


class Files:
    """An instance's files: the one that is written, and the chain through all of them. For one thread."""

    def __init__(self, folder: Path, key: AuditKey, *, max_bytes: int) -> None:
        self._folder, self._key, self._max_bytes = folder, key, max_bytes
        self._instance = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}-{secrets.token_hex(4)}"
        self._part, self._seq, self._last = 0, -1, GENESIS  # seq and hash of the last line
        self._path, self._descriptor, self._size, self._day = folder, -1, 0, ""
        self._torn = False

    def write(self, entries: Sequence[dict[str, Any]]) -> None:
        """Write entries, all or none.

        Raises
        ------
        OSError
            The disk refuses. Nothing has changed; it may be tried again.
        """
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        if entries and self._descriptor >= 0 and (self._size >= self._max_bytes or self._day != today):
            self.close("rotated")
        if entries and self._descriptor >= 0 and not self._in_place():
            self._abandon()
        if self._descriptor < 0:
            self._open(today)
        self._append(entries)

    def sync(self, state: TailState = "open") -> None:
        """Have the disk keep what was written, and sign for it."""
        self._mend()
        os.fsync(self._descriptor)
        tail = tail_of(self._key, file=self._path.name, state=state, seq=self._seq, last=self._last)
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(tail)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(tail_path(self._path))

    def close(self, state: TailState) -> None:
        """Sign for the file's end. Its hash is logged too: who cuts the trail would have to cut the logs as well."""
        if self._descriptor < 0:
            return
        self.sync(state)
        os.close(self._descriptor)
        self._descriptor = -1
        log.info("audit file closed", extra={"file": self._path.name, "seq": self._seq, "sha256": self._last})

    def _in_place(self) -> bool:
        """Whether the file is still there, under its name."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _abandon(self) -> None:
        """Write no more to a file that was removed or moved: its lines would be in no trail."""
        log.error(
            "an audit file was removed or moved while it was written, the trail goes on in the next",
            extra={"file": self._path.name, "seq": self._seq, "sha256": self._last},
        )
        os.close(self._descriptor)
        self._descriptor, self._torn = -1, False

    def _open(self, today: str) -> None:
        path = self._folder / f"audit-{self._instance}-{self._part + 1:05}.jsonl"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        head = {
            "kind": "head",
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "instance": self._instance,
            "part": self._part + 1,
            "key": self._key.name,
            **({"nonce": secrets.token_hex(16)} if self._part == 0 else {}),
        }
        self._path, self._size, self._day = path, 0, today
        before = self._seq, self._last
        try:
            self._append([head])
            self.sync()
        except OSError:
            self._seq, self._last = before
            os.close(self._descriptor)
            self._descriptor, self._torn = -1, False
            for begun in (path, tail_path(path)):
                begun.unlink(missing_ok=True)
            raise
        self._part += 1

    def _append(self, entries: Sequence[dict[str, Any]]) -> None:
        seq, last, lines = self._seq, self._last, []
        for entry in entries:
            seq += 1
            lines.append(line_of(entry, seq=seq, previous=last))
            last = hash_of(lines[-1])
        self._mend()
        data, written = b"".join(lines), 0
        self._torn = True
        while written < len(data):
            written += os.write(self._descriptor, data[written:])
        self._torn = False
        self._size += len(data)
        self._seq, self._last = seq, last

    def _mend(self) -> None:
        """Cut off what a write that failed has left."""
        if self._torn:
            os.ftruncate(self._descriptor, self._size)
            self._torn = False
