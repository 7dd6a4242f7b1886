"""From a thread of ours to a coroutine that waits."""

import asyncio
from contextlib import suppress
from typing import Any


def settle(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[Any],
    *,
    value: object = None,
    error: Exception | None = None,
) -> None:
    """Give a future its value, or its error, unless nobody waits for it any more."""
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(_settle, future, value, error)


def _settle(future: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
