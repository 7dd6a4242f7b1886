"""What the service is made of: every package by its hash, and a bill of them that follows CycloneDX."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
SERVICE = ROOT / "requirements/service.txt"


def locked(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Name, version and hashes of each package of a lock."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            name, version = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line.strip()).groups()  # type: ignore[union-attr]
            yield name, version, re.findall(r"--hash=sha256:([0-9a-f]{64})", line)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_package_is_locked_by_its_hash(path: Path) -> None:
    found = list(locked(path.read_text()))
    assert found
    assert [name for name, _, hashes in found if not hashes] == []
    bare = path.read_text() + "stray==1.0\n"
    assert [name for name, _, hashes in locked(bare) if not hashes] == ["stray"]


def test_everything_is_installed_by_its_hash() -> None:
    for file in ("Makefile", "Dockerfile"):
        text = re.sub(r"\\\n\s*", " ", (ROOT / file).read_text())
        lines = [line for line in text.splitlines() if re.search(r"-m pip\b.* install\b", line)]
        assert lines
        assert all("--require-hashes" in line for line in lines), file


def test_an_environment_that_could_not_be_made_whole_is_made_again(tmp_path: Path) -> None:
    """As of a Debian without python3-venv: it is made but for its pip, and the command fails."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n"{sys.executable}" "$@" --without-pip && exit 1\n')
    python.chmod(0o755)
    command = ["make", "-f", ROOT / "Makefile", f"PYTHON={python}", ".venv/bin/python"]
    made = [subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False) for _ in range(2)]
    assert [done.returncode for done in made] == [2, 2]  # and not 0, with nothing to be done
    assert (tmp_path / ".venv/pyvenv.cfg").exists()


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `make sbom` writes."""
    [command] = re.findall(r"^\t\$\(BIN\)/cyclonedx-py (.*)-o \S+$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    out = tmp_path_factory.mktemp("bill") / "sbom.cdx.json"
    tool = Path(sys.executable).with_name("cyclonedx-py")
    subprocess.run([tool, *command.split(), "-o", out], cwd=ROOT, capture_output=True, check=True)
    return out.read_text()


def test_the_bill_follows_cyclonedx(bill: str) -> None:
    content = json.loads(bill)
    validator = JsonStrictValidator(SchemaVersion.from_version(content["specVersion"]))
    assert validator.validate_str(bill) is None
    del content["components"][0]["name"]
    assert validator.validate_str(json.dumps(content)) is not None


def test_the_bill_has_what_is_locked_with_its_hashes(bill: str) -> None:
    content = json.loads(bill)
    assert content["metadata"]["component"]["name"] == "bonafide"
    assert {(c["name"], c["version"], frozenset(hashes(c))) for c in content["components"]} == {
        (name, version, frozenset(found)) for name, version, found in locked(SERVICE.read_text())
    }


def hashes(component: dict[str, Any]) -> list[str]:
    """Those of a component of the bill, wherever CycloneDX has them."""
    references = [h for reference in component.get("externalReferences", []) for h in reference.get("hashes", [])]
    return [found["content"] for found in [*component.get("hashes", []), *references]]


def test_images_are_pinned_to_a_version() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert all(re.search(r":v?\d+\.\d+\.\d+", image) for image in images), images
