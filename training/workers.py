"""Worker processes that end with the process that they work for."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """To be called in a worker: a pool's workers outlive a parent that was killed, each waiting for work."""
    threading.Thread(target=_end, daemon=True).start()


def _end() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
