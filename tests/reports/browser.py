"""Headless Chromium over a pipe (DevTools protocol): messages, requests and screenshots of a page."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync"),
    *("--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-pipe"),
)
PATIENCE = 60.0  # seconds


class Tab:
    """One page. `messages`: of the console, and exceptions. `requests`: to the network or a disk."""

    def __init__(self, send: int, receive: int) -> None:
        self.send, self.receive = send, receive
        self.rest = b""
        self.number = 0
        self.session: str | None = None
        self.messages: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result. Events before it are recorded."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        text = memoryview(json.dumps(message).encode() + b"\0")
        while text:
            text = text[os.write(self.send, text) :]
        while True:
            found = self.next()
            if found.get("id") == self.number:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']['message']}")
                return found["result"]

    def next(self) -> dict[str, Any]:
        """Return the next message. Events are recorded."""
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.receive], [], [], max(0.0, end - time.monotonic()))
            more = os.read(self.receive, 1 << 20) if ready else b""
            if not more:
                raise TimeoutError("the browser does not answer")
            self.rest += more
        first, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(first)
        self.note(message.get("method", ""), message.get("params", {}))
        return message

    def note(self, method: str, params: dict[str, Any]) -> None:
        """Record messages and requests."""
        if method == "Runtime.consoleAPICalled":
            self.messages.append(" ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.messages.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(
        self, page: Path, *, width: int = 1280, height: int = 900, dark: bool = False, mobile: bool = False
    ) -> None:
        """Open a file in a window of so many CSS pixels and wait until it is loaded."""
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=theme)
        scale = 2 if mobile else 1
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )
        self.messages.clear()
        self.requests.clear()
        self.call("Page.navigate", url=page.as_uri())

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true. It may fail while a page is changing."""
        end = time.monotonic() + PATIENCE
        tried = f"(() => {{ try {{ return Boolean({condition}) }} catch {{ return false }} }})()"
        while not self.value(tried):
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} does not become true; the page said {self.messages}")
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(json.dumps(done["exceptionDetails"]))
        return done["result"].get("value")

    def screenshot(self, to: Path, *, whole: bool = False) -> None:
        """Write a PNG of the window, or of the whole page."""
        done = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        to.write_bytes(base64.b64decode(done["data"]))

    def pdf(self, to: Path) -> None:
        """Write the printed page in its own size, without header and footer."""
        done = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        to.write_bytes(base64.b64decode(done["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """Yield a browser's page and end the browser afterwards. `profile`: an empty folder for its files."""
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()
    process = start(profile, to_browser, to_us)
    os.close(to_browser)
    os.close(to_us)
    try:
        yield Tab(from_us, from_browser)
    finally:
        with suppress(OSError):
            os.close(from_us)  # it ends when nobody speaks to it any more
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        stop(process)
        os.close(from_browser)


def start(profile: Path, listens: int, answers: int) -> subprocess.Popen[bytes]:
    """Start Chromium with the pipe at file descriptors 3 and 4, as it expects."""
    line = [CHROMIUM, f"--user-data-dir={profile}", *SWITCHES, "about:blank"]
    shell = f'exec "$@" 3<&{listens} 4>&{answers}'
    return subprocess.Popen(
        ["bash", "-c", shell, "bash", *line],
        pass_fds=(listens, answers),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the browser and its child processes."""
    act: Callable[[], None]
    for act in (process.terminate, process.kill):
        if process.poll() is not None:
            return
        act()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
