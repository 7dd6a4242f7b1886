"""Imports point one way: service -> model_store <- training. And what they cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "model_store": {"model_store"},
    "service": {"service", "model_store"},
    "training": {"training", "model_store"},
}
OURS = {"model_store", "service", "training", "openapi", "benchmarks", "tests", "examples"}


def imports(source: str) -> set[str]:
    """The packages of ours that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=str(module), level=0):
                found.add(module.partition(".")[0])
            case ast.ImportFrom(level=level) if level > 0:
                raise ValueError("An import of ours is absolute.")
    return found & OURS


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    strays = {str(path): imports(path.read_text(encoding="utf-8")) - ALLOWED[package] for path in modules}
    assert {path: stray for path, stray in strays.items() if stray} == {}


def test_a_stray_import_is_seen() -> None:
    assert imports("import numpy\ndef f():\n    from training.fit import fit\n    import service.app") == {
        *("training", "service"),
    }


def loaded(code: str) -> set[str]:
    """The packages in memory after running some code in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


HEAVY = {"tensorflow", "keras", "librosa", "pandas", "scipy", "sklearn", "matplotlib", "av", "training"}


def test_the_contract_and_the_service_are_light_to_import() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("model_store", "service")
        for path in sorted((ROOT / package).glob("*.py"))
    ]
    assert {"model_store.detector", "service.app", "service.__main__"} <= set(modules)
    assert loaded(f"import {', '.join(modules)}") & HEAVY == set()
    assert "pandas" in loaded("import pandas")  # what is loaded would be seen
