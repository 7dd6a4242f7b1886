"""The keys file: who may ask, for what, how often. Secrets are not in it, only their hashes.

A key is ``id.secret``. The secret is 256 bits from the operating system, never chosen by a person, so nobody can guess
it from its hash, however fast the hash: a slow one (scrypt, Argon2) would protect nothing, and would let anyone who
sends wrong keys occupy the processor. The hash is BLAKE2b, salted, with a personalisation of its own (RFC 7693).
"""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from model_store.errors import first_fault

Scope = Literal["detect", "batch", "metrics", "admin"]  # admin: all of them
SCOPES: tuple[Scope, ...] = get_args(Scope)
LIVE_KEYS = 2  # of a client: the one in use, and the one that replaces it

ClientName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
_Rate = Annotated[float, Field(ge=1, allow_inf_nan=False)]
_KEY = re.compile(r"([0-9a-f]{16})\.([A-Za-z0-9_-]{43})")


class KeysError(Exception):
    """A keys file that cannot be used, or a change to it that is not allowed."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Limits(_Part):
    """What a client may ask for in a minute; so much at once, too. Its keys share it: two are not twice as much."""

    requests_per_minute: _Rate = 3_000.0
    audio_seconds_per_minute: _Rate = 12_000.0


class Key(_Part):
    """One key, without its secret."""

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    client: ClientName
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    salt: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None

    def state(self, now: datetime) -> Literal["live", "expired", "revoked"]:
        """Whether it opens anything."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "live"

    def allows(self, scope: Scope) -> bool:
        """Whether it is for this."""
        return scope in self.scopes or "admin" in self.scopes


# What an id that is not there is compared with, so that the answer takes as long as for a wrong secret.
_NOBODY = Key(
    id="0" * 16,
    client="nobody",
    scopes=("detect",),
    salt="00" * 16,
    hash="00" * 32,
    created=datetime.min.replace(tzinfo=UTC),
)


class Keys(_Part):
    """The whole of the file."""

    schema_version: Literal[1] = 1
    limits: Limits = Field(default=Limits(), description="of clients that have none of their own")
    clients: dict[ClientName, Limits] = Field(default_factory=dict, description="limits of single clients")
    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _each_id_once(self) -> "Keys":
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("The ids of keys differ.")
        return self

    def find(self, text: str, *, now: datetime) -> Key | None:
        """The live key that ``id.secret`` is. An unknown id takes as long as a wrong secret."""
        match = _KEY.fullmatch(text)
        if match is None:
            return None
        key = self._by_id.get(match[1], _NOBODY)
        right = hmac.compare_digest(_hashed(match[2], bytes.fromhex(key.salt)), bytes.fromhex(key.hash))
        return key if right and key is not _NOBODY and key.state(now) == "live" else None

    @cached_property
    def _by_id(self) -> dict[str, Key]:
        return {key.id: key for key in self.keys}

    def limits_of(self, client: str) -> Limits:
        """A client's, or the default."""
        return self.clients.get(client, self.limits)


def read(path: Path) -> Keys:
    """The keys of a file.

    Raises
    ------
    KeysError
        It is not there, is not one, or others than its owner may write to it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read()
    except OSError as error:
        raise KeysError(f"A keys file can be read. Received: {path}, {error.strerror}.") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeysError(f"Only its owner may write to a keys file (chmod 600). Received: {path}, {mode & 0o777:o}.")
    try:
        return Keys.model_validate_json(data)
    except ValidationError as error:
        fault = first_fault(error, document="the file")
        raise KeysError(f"A keys file is as `keys make` writes it. Received: {path}, {fault}.") from None


def make(
    path: Path, *, client: str, scopes: tuple[Scope, ...], days: float | None = None, now: datetime | None = None
) -> tuple[Key, str]:
    """Add a key to the file, which is made if need be; the key, and ``id.secret``, which nobody can tell again.

    Raises
    ------
    KeysError
        The client has two live keys already, or the file cannot be used.
    """
    created = (now or datetime.now(UTC)).replace(microsecond=0)
    identity, secret, salt = secrets.token_hex(8), secrets.token_urlsafe(32), secrets.token_bytes(16)
    try:
        key = Key(
            id=identity,
            client=client,
            scopes=tuple(dict.fromkeys(scopes)),
            salt=salt.hex(),
            hash=_hashed(secret, salt).hex(),
            created=created,
            expires=None if days is None else created + timedelta(days=days),
        )
    except ValidationError:
        raise KeysError(f"A client's name is [a-z][a-z0-9_-]*, 64 at most. Received: {client[:80]!r}.") from None
    with _locked(path):
        keys = read(path) if path.exists() else Keys()
        if sum(other.client == client and other.state(created) == "live" for other in keys.keys) >= LIVE_KEYS:
            raise KeysError(f"A client has {LIVE_KEYS} live keys at most: revoke one. Received: a third for {client}.")
        _write(path, keys.model_copy(update={"keys": (*keys.keys, key)}))
    return key, f"{identity}.{secret}"


def revoke(path: Path, identity: str) -> Key:
    """Revoke a key. It stays in the file, so that what it did can still be told from its id.

    Raises
    ------
    KeysError
        There is no such key, or the file cannot be used.
    """
    with _locked(path):
        keys = read(path)
        if identity not in [key.id for key in keys.keys]:
            raise KeysError(f"A key is revoked by its id, the part before the point. Received: {identity[:16]!r}.")
        now = datetime.now(UTC).replace(microsecond=0)
        after = [
            key.model_copy(update={"revoked": key.revoked or now}) if key.id == identity else key for key in keys.keys
        ]
        _write(path, keys.model_copy(update={"keys": tuple(after)}))
    return next(key for key in after if key.id == identity)


def _hashed(secret: str, salt: bytes) -> bytes:
    return hashlib.blake2b(secret.encode(), digest_size=32, salt=salt, person=b"bonafide api key").digest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two commands at a time would lose a key; the file itself is replaced, and cannot be the lock."""
    try:
        lock = path.with_name(f".{path.name}.lock").open("w")
    except OSError as error:
        raise KeysError(
            f"A keys file lies in a folder that can be written to. Received: {path}, {error.strerror}."
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, keys: Keys) -> None:
    """Replace the file in one step: whoever reads it meanwhile has the old one or the new one, whole."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(keys.model_dump_json(indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise KeysError(f"A keys file can be written. Received: {path}, {error.strerror}.") from None
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
