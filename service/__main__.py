"""python -m service: settings -> create_app -> uvicorn; or, with a command, what goes with the service"""

import argparse
import asyncio
import logging.config
import math
import os
import signal
import sys
import time
from contextlib import suppress
from socket import socket
from types import FrameType

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: its threads would fight over the cores

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from service import audit_commands, key_commands, memory
from service.app import create_app, drain
from service.chain import AuditError
from service.keys import KeysError
from service.protocol import Protocol
from service.settings import Settings, table, unknown
from service.telemetry import log, log_config

_LINGER_SECONDS = 0.25  # in which who has connected may still send


class Server(uvicorn.Server):
    """uvicorn, which stops when the app has failed, and which drains before it stops.

    Told to stop, it fails /health/ready at once and goes on answering for `drain_seconds`, so that a balancer
    stops sending before the port closes; each answer closes its connection. What had connected by then may still send
    its request for a moment: nothing that was taken is lost. Told again, it exits at once.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self.app = app
        self.exit_at = math.inf  # on time.monotonic's clock

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        if self.app.state.draining:
            os._exit(1)  # what is still in work may hold an orderly end up
        drain(self.app)
        self.exit_at = time.monotonic() + self.app.state.settings.drain_seconds

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        if self.exit_at < math.inf:
            await self._close_ports()
            await asyncio.sleep(_LINGER_SECONDS)
        await super().shutdown(sockets)

    async def _close_ports(self) -> None:
        """Close the ports, but take in who has connected to them: the kernel would turn them away."""
        listeners = [socket(fileno=os.dup(each.fileno())) for server in self.servers for each in server.sockets]
        for server in self.servers:
            server.close()
        taken = []
        for listener in listeners:
            listener.setblocking(False)
            with listener, suppress(BlockingIOError):
                while True:
                    taken.append(listener.accept()[0])
        for connection in taken:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        config = self.config
        made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
            config=config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def on_tick(self, counter: int) -> bool:
        stop = self.app.state.failed or time.monotonic() >= self.exit_at
        return await super().on_tick(counter) or stop


def main() -> int:
    """Serve until told to stop: 0 after that, another number if it could not start, with a sentence that says why."""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve the models of a store over HTTP. Its settings are environment variables:",
        epilog=table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", title="other commands")
    key_commands.add(commands)
    audit_commands.add(commands)
    args = parser.parse_args()
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            name = f"BONAFIDE_{problem['loc'][0]}".upper() if problem["loc"] else "BONAFIDE_*"
            print(f"cannot start: {name}: {problem['msg']}. Received: {problem['input']!r}.", file=sys.stderr)
        return 1
    if args.command == "keys":
        return key_commands.run(args, settings.keys)
    if args.command is not None:
        return audit_commands.run(args, settings)
    logging.config.dictConfig(log_config(settings.log_level))  # before uvicorn would: what is found wrong is logged
    for name in unknown(os.environ):  # a misspelt BONAFIDE_KEYS would leave the service open
        log.warning("A variable BONAFIDE_* is a setting (--help has them). Received: %s, which is ignored.", name)
    memory.settle()
    try:
        app = create_app(settings, once_loaded=memory.look_past)
    except (KeysError, AuditError) as error:
        log.critical("cannot start: %s", error)
        return 1
    signal.signal(signal.SIGHUP, lambda *_: app.state.watcher.look())
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=log_config(settings.log_level),
        access_log=False,
        timeout_keep_alive=75,  # longer than a balancer keeps its connections idle, 60 s for an ALB
        server_header=False,
        http=Protocol,
        ws="none",
    )
    Server(config, app).run()
    return 1 if app.state.failed else 0


if __name__ == "__main__":
    sys.exit(main())
