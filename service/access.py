"""Who asks: a request's key -> a caller, or a 401, 403 or 429. Without a keys file, anybody may ask for anything."""

import math
import stat
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service import keys
from service.keys import Key, KeysError, Limits, Scope
from service.limits import Bucket
from service.problems import ProblemError
from service.telemetry import Telemetry, log

ACCESS_PROBLEMS = ("missing_key", "invalid_key", "missing_scope")
_LIMITED: tuple[Scope, ...] = ("detect", "batch")
_BEARER = HTTPBearer(auto_error=False, scheme_name="bearer", description="`id.secret`, if the service has a keys file")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="header", description="the same")


class _Budget:
    """A client's two buckets."""

    def __init__(self, limits: Limits) -> None:
        self.requests = Bucket(per_minute=limits.requests_per_minute)
        self.audio = Bucket(per_minute=limits.audio_seconds_per_minute)

    def change(self, limits: Limits) -> None:
        self.requests.per_minute = limits.requests_per_minute
        self.audio.per_minute = limits.audio_seconds_per_minute


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key a request had."""

    key: Key
    budget: _Budget
    telemetry: Telemetry

    def admit(self) -> None:
        """Count a request.

        Raises
        ------
        ProblemError
            ``rate_limited``: one too many, or the client has had more audio scored than a minute's worth.
        """
        wait = max(self.budget.requests.seconds_until(1), self.budget.audio.seconds_until(1))
        if wait > 0:
            self.telemetry.key_limited.labels(self.key.id).inc()
            most = self.budget
            raise ProblemError(
                "rate_limited",
                f"A client has {most.requests.per_minute:g} requests and {most.audio.per_minute:g} s of audio scored "
                f"in a minute. Received: more.",
                headers={"Retry-After": str(math.ceil(wait))},
            )
        self.budget.requests.take(1)

    def charge(self, audio_seconds: float) -> None:
        """Count audio that has been scored. How much a clip has is known only then."""
        self.budget.audio.take(audio_seconds)
        self.telemetry.key_audio.labels(self.key.id).inc(audio_seconds)


class Keyring:
    """The keys in force: the file's, read again when it changes.

    What cannot be used, or is gone, changes nothing: the last keys that could be used stay in force, and a log line
    and a metric say so. For the thread of the event loop.

    Raises
    ------
    KeysError
        There is no file to begin with.
    """

    def __init__(self, path: Path, telemetry: Telemetry) -> None:
        self._path = path
        self._telemetry = telemetry
        self._budgets: dict[str, _Budget] = {}
        self._seen = self._signature()
        self._keys = keys.read(path)
        self._warn()

    def find(self, text: str) -> Caller | None:
        """The caller whose live key this is."""
        self._refresh()
        key = self._keys.find(text, now=datetime.now(UTC))
        if key is None:
            return None
        self._telemetry.key_requests.labels(key.id).inc()
        budget = self._budgets.get(key.client)
        if budget is None:
            budget = self._budgets[key.client] = _Budget(self._keys.limits_of(key.client))
        return Caller(key, budget, self._telemetry)

    def _refresh(self) -> None:
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._keys = keys.read(self._path)
        except KeysError as error:
            log.error("the keys file cannot be used, the keys before it stay in force: %s", error)
            self._telemetry.keys_stale.set(1)
            return
        self._telemetry.keys_stale.set(0)
        for client, budget in self._budgets.items():
            budget.change(self._keys.limits_of(client))
        log.info("keys read", extra={"keys": len(self._keys.keys)})
        self._warn()

    def _signature(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode

    def _warn(self) -> None:
        if self._seen and self._seen[3] & (stat.S_IRGRP | stat.S_IROTH):
            log.warning("others than its owner may read the keys file (chmod 600)")


def needs(scope: Scope | None) -> Callable[..., Coroutine[Any, Any, None]]:
    """A dependency of a route: a live key for `scope`, or any live key; nothing where the service has no keys."""

    async def check(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
        header: Annotated[str | None, Security(_HEADER)],
    ) -> None:
        keyring: Keyring | None = request.app.state.keyring
        request.scope["caller"] = None
        if keyring is None:
            return
        text = bearer.credentials if bearer is not None else header
        if not text:
            raise ProblemError(
                "missing_key",
                "A request has a key: Authorization: Bearer id.secret, or X-API-Key. Received: none.",
                headers={"WWW-Authenticate": 'Bearer realm="bonafide"'},
            )
        caller = keyring.find(text)
        if caller is None:  # unknown, wrong, expired or revoked: which of them is not for whoever asks
            raise ProblemError(
                "invalid_key",
                "A key was made for this service and is neither expired nor revoked. Received: another.",
                headers={"WWW-Authenticate": 'Bearer realm="bonafide", error="invalid_token"'},
            )
        request.scope["log"]["key"] = caller.key.id
        if scope is not None and not caller.key.allows(scope):
            raise ProblemError(
                "missing_scope",
                f"This route needs a key with the scope {scope}. Received: {', '.join(caller.key.scopes)}.",
                headers={"WWW-Authenticate": f'Bearer realm="bonafide", error="insufficient_scope", scope="{scope}"'},
            )
        if scope in _LIMITED:
            caller.admit()
        request.scope["caller"] = caller

    return check
