"""The console in Debian's Chromium, by Playwright: pages that note what they should not do."""

import base64
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service import console

ROOT = Path(__file__).parent.parent
AXE = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
_NOTE_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.effectiveDirective} ${event.blockedURI}`));
"""
_DROP = """([files]) => {
  const transfer = new DataTransfer();
  for (const [name, type, content] of files) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.querySelector("#drop").dispatchEvent(event);
}"""


@contextmanager
def chromium(microphone: Path) -> Iterator[Any]:
    """A browser whose microphone hears a file, again and again; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("No Chromium here (Debian: chromium).")
    if not (console.FOLDER / "index.html").exists():
        pytest.skip("The console is not built here: make console.")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",  # tests may run as root
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}",
            ],
        )
        yield browser
        browser.close()


class Watched:
    """A page, what it asked for, and what it complained of."""

    def __init__(self, page: Any, base: str) -> None:
        self.page, self.base = page, base
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(45_000)
        page.add_init_script(_NOTE_VIOLATIONS)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._hear)
        page.goto(base)
        page.wait_for_selector("#model option", state="attached")

    def _hear(self, message: Any) -> None:
        # A refused request is logged by the browser, whatever the page makes of it.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def foreign(self) -> list[str]:
        return [url for url in self.asked if not url.startswith((self.base, "blob:", "data:"))]

    def drop(self, *files: tuple[str, bytes]) -> None:
        """Drop files, by name and content, on the page."""
        sent = [
            (name, "audio/wav" if name.endswith(".wav") else "", base64.b64encode(data).decode())
            for name, data in files
        ]
        self.page.evaluate(_DROP, [sent])

    def drop_paths(self, *paths: Path) -> None:
        """Drop what lies on the disk, folders too, as a file manager does."""
        zone = self.page.locator("#drop").bounding_box()
        place = {"x": zone["x"] + 20, "y": zone["y"] + 20}
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        session = self.page.context.new_cdp_session(self.page)
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})

    def until(self, expression: str) -> None:
        """Wait for JavaScript to hold. Playwright's own way of it evaluates text, which the page's policy forbids."""
        patience = time.monotonic() + 45
        while not self.page.evaluate(expression):
            assert time.monotonic() < patience, expression
            self.page.wait_for_timeout(50)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def violations(self) -> list[str]:
        """What axe-core finds, by rule and place."""
        if self.page.evaluate("typeof axe") == "undefined":
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        complaints = list(self.complaints)
        found = self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        self.page.wait_for_timeout(100)
        self.complaints[:] = complaints  # axe tries a style of its own, which the page's policy stops
        rules = {rule["id"]: rule["nodes"] for rule in found["violations"]}
        return [f"{name}: {node['target']} {node['failureSummary']}" for name, nodes in rules.items() for node in nodes]


@contextmanager
def opened(browser: Any, base: str, **options: Any) -> Iterator[Watched]:
    """The console in a context of its own. Something foreign asked for, or a complaint, fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 900}, **options})
    try:
        watched = Watched(context.new_page(), base)
        yield watched
        assert watched.foreign() == [], watched.foreign()
        assert watched.complaints == [], watched.complaints
    finally:
        context.close()


def saved(watched: Watched, button: str) -> str:
    """What a button saves."""
    with watched.page.expect_download() as download:
        watched.page.click(button)
    return Path(download.value.path()).read_bytes().decode()
