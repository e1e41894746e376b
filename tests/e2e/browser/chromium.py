"""A headless Chromium, driven over its DevTools protocol: just what a person does to a page, and what it then says."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.patience import patient, within

PROGRAM = os.environ.get("STACKYN_TEST_CHROMIUM", "/usr/bin/chromium")
START_SECONDS = 30
SEE_SECONDS = 30
# As root without a sandbox of its own; nothing is looked up at the browser's maker.
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1400,1400",
    "--remote-debugging-port=0",
)  # fmt: skip

# What a click means: the last visible button, link or titled element with this text or title.
_FIND = """(label) => {
  const fits = (e) => e.title === label || e.textContent.trim() === label;
  return [...document.querySelectorAll('button, a, [role=button], label, input[type=checkbox]')]
    .filter((e) => fits(e) && !e.disabled && e.getClientRects().length).pop();
}"""
_SET = """(selector, value) => {
  const element = document.querySelector(selector);
  const type = element instanceof HTMLSelectElement ? HTMLSelectElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(type.prototype, 'value').set.call(element, value);
  element.dispatchEvent(new Event(type === HTMLSelectElement ? 'change' : 'input', {bubbles: true}));
}"""

Answerer = Callable[[str, str, str], Awaitable[tuple[int, object]]]


@dataclass
class Call:
    """A request that the page sent to the API, and its status once it is known."""

    method: str
    url: str
    request: str
    status: int | None = None
    is_over: bool = False


@dataclass
class Page:
    """One tab with storage of its own. `complaints` are the errors and warnings in its console."""

    socket: aiohttp.ClientWebSocketResponse
    calls: list[Call] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _by_request: dict[str, Call] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _foreign: Answerer | None = None

    async def command(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(self._waiting[number], patient(SEE_SECONDS))

    async def listen(self) -> None:
        async for message in self.socket:
            content = json.loads(message.data)
            if "id" in content:
                waiting = self._waiting.pop(content["id"])
                if not waiting.done():
                    waiting.set_result(content.get("result", content.get("error")))
                continue
            self._note(content["method"], content["params"])

    def _note(self, event: str, params: Mapping[str, Any]) -> None:
        if event == "Network.requestWillBeSent" and params["type"] in ("Fetch", "XHR"):
            call = Call(params["request"]["method"], params["request"]["url"], params["requestId"])
            self._by_request[params["requestId"]] = call
            self.calls.append(call)
        elif event == "Network.responseReceived" and params["requestId"] in self._by_request:
            self._by_request[params["requestId"]].status = params["response"]["status"]
        elif event == "Network.loadingFinished" and params["requestId"] in self._by_request:
            self._by_request[params["requestId"]].is_over = True
        elif event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.crashes.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(argument.get("value", "")) for argument in params["args"]))
        elif event == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])
            self._later(self.command("Page.handleJavaScriptDialog", accept=True))
        elif event == "Fetch.requestPaused":
            self._later(self._answer_for_others(params))

    def _later(self, work: Awaitable[Any]) -> None:
        async def run() -> None:
            await work

        task = asyncio.create_task(run(), name="page.later")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def answer_for(self, patterns: list[str], answer: Answerer) -> None:
        """Let `answer` stand in for third parties: it gets method, URL and body, and returns status and JSON."""
        self._foreign = answer
        await self.command("Fetch.enable", patterns=[{"urlPattern": pattern} for pattern in patterns])

    async def _answer_for_others(self, paused: Mapping[str, Any]) -> None:
        assert self._foreign is not None
        request = paused["request"]
        status, content = await self._foreign(request["method"], request["url"], request.get("postData", ""))
        headers = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*",
                   "Access-Control-Allow-Headers": "*", "Access-Control-Allow-Methods": "*"}  # fmt: skip
        await self.command(
            "Fetch.fulfillRequest",
            requestId=paused["requestId"],
            responseCode=status,
            responseHeaders=[{"name": name, "value": value} for name, value in headers.items()],
            body=_base64(json.dumps(content)),
        )

    async def run(self, script: str, *arguments: object) -> Any:
        """Call a function in the page; the result is None while the page is between two documents."""
        listed = ", ".join(json.dumps(argument) for argument in arguments)
        answer = await self.command(
            "Runtime.evaluate", expression=f"({script})({listed})", returnByValue=True
        )
        return answer.get("result", {}).get("value")

    async def text(self) -> str:
        return str(await self.run("() => document.body ? document.body.innerText : ''") or "")

    async def path(self) -> str:
        return str(await self.run("() => location.pathname + location.search + location.hash"))

    async def until(
        self, condition: Callable[[], Awaitable[Any]], what: str, seconds: float = SEE_SECONDS
    ) -> None:
        try:
            async with within(seconds):
                while not await condition():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            calls = "\n".join(f"{call.method} {call.url} {call.status}" for call in self.calls[-15:])
            raise AssertionError(
                f"not within {seconds} s: {what}\nat {await self.path()}\n{await self.text()}\n{calls}\n{self.crashes}"
            ) from None

    async def open(self, url: str) -> None:
        await self.command("Page.navigate", url=url)

    async def sees(self, *texts: str, seconds: float = SEE_SECONDS) -> None:
        """Wait until the page shows all of `texts`, whatever their case (style sheets change it)."""

        async def shown() -> bool:
            text = (await self.text()).lower()
            return all(expected.lower() in text for expected in texts)

        await self.until(shown, f"the page says {texts}", seconds)

    async def sees_no(self, text: str, seconds: float = SEE_SECONDS) -> None:
        async def gone() -> bool:
            return text.lower() not in (await self.text()).lower()

        await self.until(gone, f"the page says {text!r} no longer", seconds)

    async def has(self, selector: str) -> None:
        async def there() -> bool:
            return bool(await self.run("(s) => !!document.querySelector(s)", selector))

        await self.until(there, f"the page has {selector}")

    async def is_at(self, path: str, seconds: float = SEE_SECONDS) -> None:
        async def there() -> bool:
            return (await self.path()) == path

        await self.until(there, f"the page is {path}", seconds)

    async def fill(self, selector: str, value: str) -> None:
        await self.has(selector)
        await self.run(_SET, selector, value)

    async def click(self, label: str) -> None:
        """Click what bears this text or title, once it is there."""

        async def clicked() -> bool:
            return bool(
                await self.run(
                    f"(label) => {{ const e = ({_FIND})(label); if (e) e.click(); return !!e; }}", label
                )
            )

        await self.until(clicked, f"there is something to click: {label!r}")

    async def called(self, method: str, path: str, *statuses: int, seconds: float = SEE_SECONDS) -> Call:
        """Wait until the newest such call was answered with one of these statuses."""

        def newest() -> Call | None:
            fits = [call for call in self.calls if call.method == method and urlsplit(call.url).path == path]
            return fits[-1] if fits else None

        async def answered() -> bool:
            call = newest()
            return call is not None and call.status in statuses

        await self.until(answered, f"{method} {path} was answered with {statuses}", seconds)
        call = newest()
        assert call is not None
        return call

    async def answer(self, method: str, path: str, *statuses: int, seconds: float = SEE_SECONDS) -> Any:
        """The same for a call whose answer the page reads; returns its JSON."""
        call = await self.called(method, path, *statuses, seconds=seconds)

        async def is_over() -> bool:
            return call.is_over

        await self.until(is_over, f"the answer to {method} {path} is read", seconds)
        return json.loads((await self.command("Network.getResponseBody", requestId=call.request))["body"])

    def count(self, method: str, path: str) -> int:
        return sum(call.method == method and urlsplit(call.url).path == path for call in self.calls)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass
class Browser:
    session: aiohttp.ClientSession
    socket_url: str

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """A new tab in a profile of its own, as another person's browser."""
        async with self.session.ws_connect(self.socket_url) as control:
            context = (await _ask(control, "Target.createBrowserContext"))["browserContextId"]
            target = await _ask(control, "Target.createTarget", url="about:blank", browserContextId=context)
            base = self.socket_url.partition("/devtools/")[0]
            async with self.session.ws_connect(
                f"{base}/devtools/page/{target['targetId']}", max_msg_size=0
            ) as socket:
                page = Page(socket)
                listening = asyncio.create_task(page.listen(), name="page.listen")
                try:
                    for domain in ("Page", "Network", "Runtime", "Log"):
                        await page.command(f"{domain}.enable")
                    yield page
                finally:
                    listening.cancel()
                    with suppress(asyncio.CancelledError):
                        await listening
            await _ask(control, "Target.disposeBrowserContext", browserContextId=context)


async def _ask(control: aiohttp.ClientWebSocketResponse, method: str, **parameters: Any) -> Any:
    await control.send_json({"id": 1, "method": method, "params": parameters})
    while True:
        answer = await control.receive_json()
        if answer.get("id") == 1:
            return answer["result"]


@asynccontextmanager
async def chromium(*, resolve: Mapping[str, str]) -> AsyncIterator[Browser]:
    """A browser for which the hosts of `resolve` (host:port, as pages name them) are somewhere else."""
    rules = ", ".join(f"MAP {host} {place}" for host, place in resolve.items())
    with tempfile.TemporaryDirectory(prefix="stackyn-browser-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            PROGRAM, *OPTIONS, f"--user-data-dir={profile}", f"--host-resolver-rules={rules}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with aiohttp.ClientSession() as session:
                yield Browser(session, await _socket_url(Path(profile)))
        finally:
            process.terminate()
            await process.wait()


async def _socket_url(profile: Path) -> str:
    file = profile / "DevToolsActivePort"
    async with within(START_SECONDS):
        while not file.exists() or len(file.read_text().split()) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    port, path = file.read_text().split()
    return f"ws://127.0.0.1:{port}{path}"
