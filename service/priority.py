"""Who gets a core first: the event loop, which has little to do, before the threads that decode and score."""

import os
import threading
from contextlib import suppress

LOWER_BY = 10  # nice levels, each a share of about four fifths: a ninth of the event loop's, when both want a core


def give_way() -> None:
    """Let the event loop go first, from now on, before this thread and those that it makes.

    Else the one thread that refuses and answers waits for its turn among all that score, and what is refused waits for
    as long as what is scored. A thread has a priority of its own on Linux; where it has none, nothing changes.
    """
    with suppress(OSError):
        loop = os.getpriority(os.PRIO_PROCESS, os.getpid())  # of the main thread, whose number is the process's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, loop + LOWER_BY))
