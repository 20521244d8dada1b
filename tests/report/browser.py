"""A real Chromium, spoken to through a pipe: what a page loads, how it is laid out and looks."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
Message = dict[str, Any]


class Tab:
    """One page in the browser.

    Args:
        into: Where commands are written to.
        out: Where answers and events are read from.

    Attributes:
        events: What the browser has told, in order.
    """

    def __init__(self, into: int, out: int) -> None:
        self._into, self._out = into, out
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[Message] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Message:
        """Give a command and wait for its answer."""
        self._number += 1
        message: Message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: Message = answer["result"]
        return result

    def _next(self) -> Message:
        while b"\0" not in self._rest:
            block = os.read(self._out, 1 << 20)
            if not block:
                raise EOFError("Chromium has ended")
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\0")
        message: Message = json.loads(line)
        return message

    def open(self, page: Path) -> None:
        """Load a page and wait until all of it is there."""
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(each.get("method") == "Page.loadEventFired" for each in self.events):
            self.events.append(self._next())

    def show(self, width: int, *, colours: str = "light", medium: str = "screen") -> None:
        """Lay the page out for a screen of that width, or for paper."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": colours}]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """The whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip
        )
        return base64.b64decode(answer["data"])

    def events_named(self, method: str) -> list[Message]:
        """What the browser has told under that name."""
        return [each["params"] for each in self.events if each.get("method") == method]


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A browser with a profile of its own in *folder*, ended afterwards."""
    assert CHROMIUM is not None
    read_by_it, into = os.pipe()
    out, written_by_it = os.pipe()
    # Chromium reads its commands from descriptor 3 and answers on 4, whatever has those here.
    plumbing = f'exec "$0" "$@" 3<&{read_by_it} 4>&{written_by_it}'
    words = ["/bin/bash", "-c", plumbing, CHROMIUM, *OPTIONS, f"--user-data-dir={folder}"]
    with subprocess.Popen(
        words, pass_fds=(read_by_it, written_by_it), stderr=subprocess.DEVNULL
    ) as process:
        os.close(read_by_it)
        os.close(written_by_it)
        try:
            tab = Tab(into, out)
            yield tab
            tab.call("Browser.close")
        finally:
            process.terminate()
            os.close(into)
            os.close(out)
