"""What scripts/run does: start, make the admin, deploy the example, print what is next, stay until the end."""

from __future__ import annotations

import asyncio
import signal
import time

import aiohttp

from scripts.launch import example
from scripts.launch.admin import Admin, first_admin
from scripts.launch.child import ServerChild
from scripts.launch.installation import Installation, NotStarted
from scripts.launch.screen import say, step

READY_SECONDS = 300  # a first start makes the ingress image, which takes a slow machine minutes
REQUEST_SECONDS = 30
ASK_AGAIN_SECONDS = 0.2

NEXT = """
What next
  Deploy a repository of your own:
    curl {api}/api/auth/login --json '{{"email": "{email}", "password": "..."}}'       answers with a token
    curl {api}/api/v1/apps --oauth2-bearer TOKEN \\
      --json '{{"name": "My app", "repo_url": "https://host/me/my-app.git", "branch": "main"}}'
  Change settings in {file}; run it as a service with stackyn.service.

Ctrl-C stops the server; the apps go on serving."""


async def serve(installation: Installation, demo_port: int | None) -> int:
    """Run the server until it ends or a signal stops it, and return the exit code. Without `demo_port`: no example."""
    server = ServerChild(installation, {} if demo_port is None else example.SETTINGS)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    progress = asyncio.create_task(_print_progress(installation, server, demo_port), name="run.progress")
    stop = asyncio.create_task(stopping.wait(), name="run.stop")
    try:
        await asyncio.wait({progress, stop}, return_when=asyncio.FIRST_COMPLETED)
        return progress.result() if progress.done() else 0
    finally:
        stop.cancel()
        progress.cancel()
        await asyncio.gather(progress, return_exceptions=True)
        if server.is_running:
            say("\nStopping the server; the apps go on serving.")
        await server.stop()


async def _print_progress(installation: Installation, server: ServerChild, demo_port: int | None) -> int:
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with aiohttp.ClientSession(installation.api, timeout=timeout) as session:
        say("Starting")
        embedded = "" if installation.settings.database.url else " on its embedded PostgreSQL"
        with step(f"Stackyn server{embedded}"):
            await server.start()
        with step("Engine, database and ingress answer"):
            await _until_ready(session)
        with step("First admin"):
            admin = await first_admin(installation)
        if demo_port is None:
            _what_now(installation, admin, None)
            return await _end(server)
        async with example.serve(installation.data_dir / "example", demo_port) as repository:
            site = await example.deploy(
                session, installation.settings, admin.email, admin.password, repository
            )
            _what_now(installation, admin, site)
            return await _end(server)


async def _until_ready(session: aiohttp.ClientSession) -> None:
    """Wait until the API answers and every part behind it works; say which one does not."""
    deadline, missing = time.monotonic() + READY_SECONDS, ""
    while time.monotonic() < deadline:
        try:
            async with session.get("/health/ready") as answer:
                if answer.status == 200:
                    return
                parts: dict[str, str] = (await answer.json()).get("details", {}).get("parts", {})
            missing = "\n".join(f"  {name}: {state}" for name, state in parts.items() if state != "ok")
        except aiohttp.ClientError as error:
            missing = f"  API: {error}"
        await asyncio.sleep(ASK_AGAIN_SECONDS)
    raise NotStarted(f"The server runs, but after {READY_SECONDS} s not all of it works:\n\n{missing}")


async def _end(server: ServerChild) -> int:
    code = await server.wait()
    say(f"\nThe server ended with code {code}. Its last words:\n\n{server.last_words()}")
    return code or 1


def _what_now(installation: Installation, admin: Admin, site: example.Site | None) -> None:
    kept = f"in {installation.credentials}, mode 0600"
    say("\nStackyn runs.\n")
    if site is not None:
        say(f"  Example   {site.url}")
        say(
            f"            curl -H 'Host: {site.host}' {site.address_url}      where that name does not resolve"
        )
    say(f"  API       {installation.api}")
    say(f"  Admin     {admin.email}")
    say(f"  Password  {f'{admin.password}   shown this once; kept {kept}' if admin.is_new else kept}")
    say(f"  Log       {installation.log}")
    say(NEXT.format(api=installation.api, email=admin.email, file=installation.file))
