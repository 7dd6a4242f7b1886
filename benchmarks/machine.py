"""What the figures were measured on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from model_store.cores import available_cores

_PACKAGES = (
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "onnxruntime",
    "fastapi",
    "uvicorn",
    "litserve",
    "mosec",
    "librosa",
    "numpy",
    "soundfile",
    "soxr",
)


def describe() -> dict[str, str]:
    """The machine and the versions, in words."""
    lines = _lines("/proc/cpuinfo")
    model = next((value.strip() for name, _, value in lines if name.strip() == "model name"), platform.processor())
    memory = next((value.split()[0] for name, _, value in _lines("/proc/meminfo") if name == "MemTotal"), "0")
    return {
        "CPU": model,
        "cores": f"{os.cpu_count()}, of which this process may use {available_cores()}",
        "memory": f"{int(memory) * 1024 / 1e9:.1f} GB",
        "system": platform.platform(),
        "Python": platform.python_version(),
        **{name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # TensorFlow has one of two names
        return None


def _lines(path: str) -> list[tuple[str, str, str]]:
    file = Path(path)
    return [line.partition(":") for line in file.read_text().splitlines()] if file.exists() else []
