"""Environments of their own for other people's programs, so that this project depends on none of them."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def prepare(
    environment: Path,
    *,
    packages: Sequence[str] = (),
    without_dependencies: Sequence[str] = (),
    npm: Sequence[str] = (),
) -> Path:
    """Make an environment of pinned packages of PyPI and npm, unless it is there, and give its interpreter.

    Raises
    ------
    subprocess.CalledProcessError
        A package could not be installed; what was begun is gone on with the next time.
    """
    python = environment / "bin" / "python"
    done = environment / "done"
    if done.exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)  # noqa: S603
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    for options, wanted in (((), packages), (("--no-deps",), without_dependencies)):
        if wanted:
            subprocess.run([*pip, *options, *wanted], check=True)  # noqa: S603
    if npm:
        subprocess.run(["npm", "install", "--prefix", str(environment), *npm], check=True)  # noqa: S603, S607
    done.touch()
    return python
