"""glibc's malloc, told to keep little of what large clips have left behind; Python's collector, told what to look past.

By itself, malloc takes blocks of up to 32 MB from heaps that it never gives back, of which each few threads have one: a
process holds the most that it ever needed at once in each, for good. Measured, scoring takes no longer for it.
"""

import ctypes
import gc
from collections.abc import Callable

# Of malloc.h, and what they are set to here. Once set, they no longer adapt themselves.
_SETTINGS = {
    -3: 4 << 20,  # M_MMAP_THRESHOLD, bytes: larger blocks are the system's own, and go back when they are freed
    -1: 4 << 20,  # M_TRIM_THRESHOLD, bytes: of free memory at a heap's end; a clip of seconds takes less
    -8: 2,  # M_ARENA_MAX: heaps
}


def settle() -> bool:
    """Set them, for the process; whether there is such a malloc. Before threads are started."""
    try:
        mallopt: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another allocator
        return False
    done = [mallopt(setting, value) for setting, value in _SETTINGS.items()]
    return all(done)


def look_past() -> None:
    """Have Python's garbage collector look past what is there now: above all, modules.

    Each of its full looks holds every thread up: 0.2 s with TensorFlow imported, and now and then one is due. What is
    garbage later and in a cycle is kept, of what is there now: once, the 4 MB of a first model that has been replaced.
    """
    gc.collect()
    gc.freeze()
