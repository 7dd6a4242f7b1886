"""python -m service: settings -> create_app -> uvicorn"""

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: its threads would fight over the cores

import uvicorn
from pydantic import ValidationError

from service.app import create_app
from service.settings import Settings
from service.telemetry import log_config


def main() -> int:
    """Serve until told to stop: 0 after that, 1 if the service could not start, with a sentence that says why."""
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            name = f"BONAFIDE_{problem['loc'][0]}".upper() if problem["loc"] else "BONAFIDE_*"
            print(f"cannot start: {name}: {problem['msg']}. Received: {problem['input']!r}.", file=sys.stderr)
        return 1
    app = create_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=log_config(settings.log_level),
            access_log=False,
            server_header=False,
        )
    )
    server.run()
    return 1 if app.state.failed or not server.started else 0


if __name__ == "__main__":
    sys.exit(main())
