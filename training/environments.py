"""Environments of their own for other people's programs, so that this project depends on none of them."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from training.corpus import CorpusError


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
    CorpusError
        A program failed, and said why on standard error; what was begun is gone on with the next time. Or the folder
        is an environment of other packages.
    """
    python = interpreter(environment)
    done, wanted = environment / "done", "\n".join((*packages, *without_dependencies, *npm))
    if done.exists():
        if done.read_text(encoding="utf-8") != wanted:
            raise CorpusError(f"An environment holds the packages that are asked for. Received: {environment}, others.")
        return python
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    commands = [[sys.executable, "-m", "venv", str(environment)]]
    commands += [[*pip, *packages]] if packages else []
    commands += [[*pip, "--no-deps", *without_dependencies]] if without_dependencies else []
    commands += [["npm", "install", "--prefix", str(environment), *npm]] if npm else []
    for command in commands:
        try:
            subprocess.run(command, check=True)  # noqa: S603
        except (subprocess.CalledProcessError, OSError) as error:
            rule = f"Packages are installed in {environment}"
            raise CorpusError(f"{rule}. Received: a failure of {' '.join(command)}.") from error
    done.write_text(wanted, encoding="utf-8")
    return python


def interpreter(environment: Path) -> Path:
    """Where the interpreter of an environment is."""
    return environment / "bin" / "python"
