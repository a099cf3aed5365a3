# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven by its DevTools protocol over two pipes (--remote-debugging-pipe): messages of JSON that end with NUL."""
import base64
import json
import os
import select
import shutil
import subprocess
import time

from .waiting import PATIENCE_S, wait_for

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
# The pages are our own, so its sandbox is not needed, which does not work for root or in many containers.
FLAGS = ["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--no-default-browser-check", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-extensions", "--disable-default-apps", "--mute-audio", "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-US"]


class Browser:
    def __init__(self, folder):
        profile = folder / "chromium"
        theirs, self._commands = os.pipe()
        self._messages, out = os.pipe()
        with open(folder / "chromium.stderr", "wb") as err:
            self.process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{out}', "bash", PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                pass_fds=(theirs, out), stdin=subprocess.DEVNULL, stdout=err, stderr=err, start_new_session=True,
                env={**os.environ, "HOME": str(folder), "TZ": "UTC"})
        os.close(theirs)
        os.close(out)
        self._buffer, self._number, self._events = b"", 0, []

    def _message(self):
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._messages], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser says nothing"
            data = os.read(self._messages, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **params):
        self._number += 1
        command = {"id": self._number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while (message := self._message()).get("id") != self._number:
            self._events.append(message)
        assert "error" not in message, (method, message["error"])
        return message["result"]

    def events(self, session, *methods):
        """All so far, in order."""
        return [event["params"] for event in self._events if event.get("sessionId") == session and event["method"] in methods]

    def open(self, url, **how):
        return Page(self, url, **how)

    def close(self):
        os.close(self._commands)  # its end is the browser's
        os.close(self._messages)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait()


class Page:
    def __init__(self, browser, url, width=1280, height=900, scheme="light"):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.look(width, height, scheme)
        self.call("Page.navigate", url=url)
        # Each call takes what has come meanwhile.
        wait_for(lambda: self.call("Page.getFrameTree") and browser.events(self.session, "Page.loadEventFired"), f"{url} is loaded")

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def look(self, width, height, scheme):
        """From here on it is so wide and high, and its reader likes this scheme of colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    def text(self, selector):
        return self.value(f"document.querySelector({json.dumps(selector)})?.textContent ?? null")

    def texts(self, selector):
        return self.value(f"Array.from(document.querySelectorAll({json.dumps(selector)}), (node) => node.textContent)")

    def cells(self, selector):
        """A list of texts for each row."""
        return self.value(f"Array.from(document.querySelectorAll({json.dumps(selector)}), (row) => Array.from(row.children, (cell) => cell.textContent.trim()))")

    def wait_for_text(self, selector, wanted):
        return wait_for(lambda: self.text(selector) == wanted, f"{selector} says {wanted}")

    def screenshot(self, path, is_whole=False):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole)["data"]
        path.write_bytes(base64.b64decode(data))

    @property
    def requests(self):
        return [event["request"]["url"] for event in self.browser.events(self.session, "Network.requestWillBeSent")]

    @property
    def complaints(self):
        """What a developer would see in red: errors and warnings of the console, exceptions, what a policy forbade."""
        logged = [event["entry"] for event in self.browser.events(self.session, "Log.entryAdded")]
        said = [event for event in self.browser.events(self.session, "Runtime.consoleAPICalled") if event["type"] in ("error", "warning", "assert")]
        return [entry for entry in logged if entry["level"] in ("error", "warning")] + said + self.browser.events(self.session, "Runtime.exceptionThrown")
