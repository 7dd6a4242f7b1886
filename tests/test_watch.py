"""The thread that looks at the store, and who tells it to."""

import sys
from collections.abc import Callable
from threading import Thread
from types import FrameType
from typing import Any

from service.app import create_app
from service.settings import Settings
from service.watch import Watcher


def interrupted_everywhere(function: Callable[[], None]) -> None:
    """Call a function, and call it again before each line of Python that this takes, as a signal may."""

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            function()
        return trace

    sys.settrace(trace)
    function()
    sys.settrace(None)


def test_a_signal_may_come_while_another_is_handled() -> None:
    watcher: Watcher = create_app(Settings()).state.watcher
    thread = Thread(target=lambda: interrupted_everywhere(watcher.look), daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
