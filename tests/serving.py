"""Apps to ask: `serving` runs one behind uvicorn, on a port and a thread of its own, within this process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from service.__main__ import Server
from service.app import create_app
from service.protocol import Protocol
from service.settings import Settings


class Client(httpx.Client):
    """A client that knows the app behind it."""

    def __init__(self, app: FastAPI, port: int) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        self.app = app

    def wait_until_ready(self) -> None:
        """Ask until it says so."""
        patience = time.monotonic() + 60
        while self.get("/health/ready").status_code != 200:
            assert time.monotonic() < patience, "not ready in time"
            time.sleep(0.02)


def settings(store: Path, **values: Any) -> Settings:
    """Settings for a test: whatever the environment says, and two threads."""
    return Settings(**{"store": store, "models": "simple_cnn", "threads": 2, **values})


@contextmanager
def serving(store: Path, **values: Any) -> Iterator[Client]:
    """A client of an app that is ready, with these settings."""
    with serving_app(create_app(settings(store, **values))) as client:
        client.wait_until_ready()
        yield client


@contextmanager
def serving_app(app: FastAPI) -> Iterator[Client]:
    """A client of an app, as soon as it answers."""
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, server_header=False, http=Protocol)
    server = Server(config, app)
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server has not started"
        time.sleep(0.01)
    try:
        with Client(app, server.servers[0].sockets[0].getsockname()[1]) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
