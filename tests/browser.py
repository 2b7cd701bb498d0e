"""A headless Chromium that inspects written pages as a person sees them: on a phone and a screen, light and dark."""

import base64
import contextlib
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

WIDTHS, HEIGHT = (390, 1400), 900
SCHEMES = ("light", "dark")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
INSPECTION = (Path(__file__).resolve().parent / "browser_inspection.js").read_text(encoding="utf-8")


def why_absent() -> str:
    """Returns why no browser can be had; empty if one can."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed (Debian: apt-get install chromium chromium-driver)"
    return "" if importlib.util.find_spec("selenium") else "selenium is not installed (the extra 'test')"


@contextlib.contextmanager
def browsing(profile: Path) -> Iterator[Any]:
    """Opens a browser with an empty folder of its own, or skips the test with the reason."""
    reason = why_absent()
    if reason:
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.set_page_load_timeout(120)
        browser.set_script_timeout(120)  # a busy machine is slow, and no test measures that
        yield browser
    finally:
        browser.quit()


def open_page(
    browser: Any, path: Path, *, width: int = WIDTHS[-1], scheme: str = "light", reduced_motion: bool = False
) -> None:
    """Loads a file as a screen of a width in CSS pixels and a color scheme would show it."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False},
    )
    motion = "reduce" if reduced_motion else "no-preference"
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": motion},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(path.resolve(strict=True).as_uri())


def faults_of(browser: Any, path: Path, *, site: Path | None = None) -> list[str]:
    """Opens a page in both widths and schemes, every fold open and closed, and returns what is wrong with it.

    That is: messages on the console, requests other than the page itself, images that are absent or of one color,
    charts without a stroke, links that lead nowhere, a page wider than its screen, letters over letters, and letters
    that hardly differ from their ground. A page of a site may request the files of that folder.
    """
    allowed = (site or path).resolve().as_uri()
    faults = []
    for width in WIDTHS:
        for scheme in SCHEMES:
            _forget(browser)
            open_page(browser, path, width=width, scheme=scheme)
            faults_found = browser.execute_async_script(INSPECTION)
            found = [*faults_found, *_messages(browser), *_requests(browser, allowed)]
            faults += [f"{width} px, {scheme}: {fault}" for fault in found]
    return faults + [f"link to {name}" for name in _dead_files(browser, path)]


def screenshot(
    browser: Any, path: Path, frame: Path, *, width: int, scheme: str, height: int = 0, part: str = ""
) -> Path:
    """Writes a PNG of a page from its top, or from the heading that begins with `part`; height 0: to its end."""
    open_page(browser, path, width=width, scheme=scheme)
    full = browser.execute_script("return document.documentElement.scrollHeight")
    script = "return [...document.querySelectorAll('h2')].find(h => h.innerText.startsWith(arguments[0])).offsetTop"
    top = browser.execute_script(script, part) if part else 0
    clip = {"x": 0, "y": top, "width": width, "height": height or full - top, "scale": 1}
    settings = {"format": "png", "captureBeyondViewport": True, "clip": clip}
    frame.write_bytes(base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", settings)["data"]))
    return frame


def _forget(browser: Any) -> None:
    for log in ("browser", "performance"):
        browser.get_log(log)


def _messages(browser: Any) -> list[str]:
    return [f"console: {entry['message']}" for entry in browser.get_log("browser")]


def _requests(browser: Any, allowed: str) -> list[str]:
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    within = ("data:", "chrome:", "about:")  # what lies in the page, and what the browser shows before it
    return [
        f"request: {url[:200]}"
        for url in asked
        if url.split("#")[0] != allowed and not url.startswith((f"{allowed}/", *within))
    ]


def _dead_files(browser: Any, path: Path) -> list[str]:
    script = "return [...document.querySelectorAll('a[href]')].map(link => link.getAttribute('href'))"
    names = [name for name in browser.execute_script(script) if not name.startswith(("#", "http://", "https://"))]
    return [name for name in names if not (path.parent / unquote(name.split("#")[0])).exists()]
