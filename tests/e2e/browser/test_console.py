"""The current console in a browser: every page, with real deployments behind."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.browser.chromium import Page
from tests.e2e.browser.conftest import BrowserSetup
from tests.git_server import GitServer
from tests.server_process import PASSWORD
from tests.tiny import SERVE, tiny_app

FLASK = Path(__file__).parents[3] / "scripts/example_app"
BUILD_SECONDS = 180
NEW_PASSWORD = "a longer battery horse"


async def sign_up(page: Page, setup: BrowserSetup, email: str, password: str) -> None:
    await page.open(f"{setup.console}/signup")
    await page.sees("Create account")
    await page.fill("#email", email)
    await page.click("Continue")
    code = (await page.answer("POST", "/api/auth/send-otp", 200))["otp"]
    await page.sees("Verify your email")
    await page.fill("#otp", "000000" if code != "000000" else "000001")
    await page.click("Verify code")
    await page.called("POST", "/api/auth/verify-otp", 401)
    await page.sees("Invalid")
    await page.fill("#otp", code)
    await page.click("Verify code")
    await page.sees("Set password (optional)")
    await page.fill("#password", password)
    await page.fill("#confirmPassword", password)
    await page.click("Continue with password")
    await page.sees("Complete your account")
    await page.fill("#fullName", "Ada Lovelace")
    await page.click("Go to console")
    await page.called("POST", "/api/auth/update-profile", 200)
    await page.is_at("/login")  # the page's own session state is stale; a load of the list works
    await page.open(f"{setup.console}/apps")
    await page.sees("My Applications")


async def sign_in(page: Page, setup: BrowserSetup, email: str, password: str) -> None:
    await page.open(f"{setup.console}/login")
    await page.fill("#email", email)
    await page.fill("#password", password)
    await page.run("() => document.querySelector('form').requestSubmit()")
    await page.sees("My Applications")


async def create(page: Page, setup: BrowserSetup, name: str, url: str, *variables: tuple[str, str]) -> str:
    """Fill the form for a new app and return its id."""
    await page.open(f"{setup.console}/apps/new")
    await page.fill("#name", name)
    await page.fill("#repo_url", url)
    await page.fill("#branch", "main")
    for key, value in variables:
        await page.click("+ Add Variable")
        await page.fill("input[placeholder=KEY]", key)
        await page.fill("input[placeholder=value]", value)
    await page.click("Create App")
    created = await page.answer("POST", "/api/v1/apps", 201)
    await page.is_at(f"/apps/{created['app']['id']}")
    return str(created["app"]["id"])


async def is_running(page: Page, seconds: float = BUILD_SECONDS) -> None:
    """Wait until the page has noticed by itself that the build is over and the app runs."""
    await page.sees_no("Building…", seconds)
    await page.sees_no("Building...", seconds)
    await page.sees("running", seconds=seconds)


async def test_from_sign_up_to_the_last_deletion(current: BrowserSetup, git: GitServer) -> None:
    email = "ada@example.test"
    url, _ = await git.publish("console", {
        str(path.relative_to(FLASK)): path.read_bytes() for path in FLASK.rglob("*") if path.is_file()
    })  # fmt: skip
    async with current.browser.page() as page:
        await sign_up(page, current, email, PASSWORD)
        await page.sees("No applications yet", email, "Free Trial Active", "Day 1 of 7", "7 days remaining")

        app = await create(page, current, "Shop Window", url, ("GREETING", "hello"))
        await page.sees("Build Logs - Deployment #", "Fetched commit", seconds=BUILD_SECONDS)
        await is_running(page)
        await page.sees("http://shop-window.localhost", "Runtime Logs")
        status, text = await current.server.visit("shop-window")
        assert status == 200 and "<h1>hello</h1>" in text  # the variable that the form sent

        await overview_deployments_and_metrics(page, app)
        await variables(page, app)
        await redeploys(page, current, git, app)

        await page.open(f"{current.console}/apps")
        await page.sees("Shop Window", "running")
        await page.open(f"{current.console}/apps/{app}")
        await page.click("Delete app")
        await page.sees("Are you sure you want to delete")
        await page.click("Delete")
        await page.called("DELETE", f"/api/v1/apps/{app}", 200)
        await page.is_at("/apps")
        await page.sees("No applications yet")
        assert page.crashes == []


async def overview_deployments_and_metrics(page: Page, app: str) -> None:
    await page.click("Overview")
    await page.sees("App Information", "Repository URL", "main")
    await page.click("Deployments")
    await page.sees("Deployment History", "Active")
    await page.click("Metrics")
    await page.sees("Resource Usage", "Memory Usage", "CPU Allocation", "Restart Count", "No restarts")


async def variables(page: Page, app: str) -> None:
    path = f"/api/v1/apps/{app}/env"
    await page.click("Settings")
    await page.sees("Existing Variables", "GREETING", "hello")
    await page.click("+ Add Variable")
    await page.fill("input[placeholder=KEY]", "GREETING")
    await page.fill("input[placeholder=value]", "good morning")
    await page.click("Add 1 Variable(s)")
    await page.called("POST", path, 200)
    await page.sees("good morning")
    for number in range(2):
        await page.click("+ Add Variable")
        rows = "div.space-y-3 > div:nth-of-type(%d) input[placeholder=%s]"
        await page.fill(rows % (number + 1, "KEY"), f"EXTRA_{number}")
    await page.click("Add 2 Variable(s)")
    await page.sees("EXTRA_0", "EXTRA_1")
    await page.click("Delete")  # the last in the list, after the browser has asked
    await page.called("DELETE", f"{path}/GREETING", 204)
    await page.sees_no("good morning")


async def redeploys(page: Page, setup: BrowserSetup, git: GitServer, app: str) -> None:
    """One that works, and one that fails while the old release serves on."""
    await git.publish("console", tiny_app("the second"))
    await page.click("Redeploy app")
    await page.called("POST", f"/api/v1/apps/{app}/redeploy", 201)
    await page.sees("Build Logs - Deployment #")
    await is_running(page)
    assert await setup.server.visit("shop-window") == (200, "the second")

    await git.publish("console", tiny_app("broken", start="echo no database here; exit 3\n"))
    await page.click("Redeploy app")
    again = await page.answer("POST", f"/api/v1/apps/{app}/redeploy", 201)
    await is_running(page)
    await page.click("Deployments")
    await page.sees("failed", "exited with code 3")
    assert await setup.server.visit("shop-window") == (200, "the second")

    await page.open(f"{setup.console}/apps/{app}/deployments/{again['deployment']['id']}")
    await page.sees("Deployment Failed", "Deployment Logs", "no database here")
    await git.publish("console", tiny_app("mended", start=SERVE))


async def test_a_first_deployment_that_fails_says_why(current: BrowserSetup, git: GitServer) -> None:
    url, _ = await git.publish("hopeless", {"notes.txt": "no app"})
    async with current.browser.page() as page:
        await sign_up(page, current, "grace@example.test", PASSWORD)
        app = await create(page, current, "Hopeless", url)
        await page.sees("Application Failed to Start", "Redeploy App", seconds=BUILD_SECONDS)
        await page.sees_no("Building")
        await page.click("Deployments")
        await page.sees("Deployment History", "failed", "Active")
        calls = len(page.calls)
        await page.click("Redeploy App")
        await page.called("POST", f"/api/v1/apps/{app}/redeploy", 201)
        assert len(page.calls) > calls and page.crashes == []


async def test_passwords_sessions_and_the_way_back_in(current: BrowserSetup) -> None:
    email = "edsger@example.test"
    async with current.browser.page() as page:
        await sign_up(page, current, email, PASSWORD)
        token = await page.run("() => localStorage.getItem('auth_token')")
    async with current.browser.page() as page:
        await page.open(f"{current.console}/login")
        await page.fill("#email", email)
        await page.fill("#password", "not the password")
        await page.run("() => document.querySelector('form').requestSubmit()")
        refused = await page.answer("POST", "/api/auth/login", 401)
        await page.sees(refused["error"])
        assert await page.run("() => localStorage.getItem('auth_token')") is None

        await page.open(f"{current.console}/forgot-password")
        await page.fill("#email", email)
        await page.run("() => document.querySelector('form').requestSubmit()")
        code = (await page.answer("POST", "/api/auth/forgot-password", 200))["otp"]
        await page.fill("#otp", code)
        await page.fill("#password", NEW_PASSWORD)
        await page.fill("#confirmPassword", NEW_PASSWORD)
        await page.run("() => document.querySelector('form').requestSubmit()")
        await page.called("POST", "/api/auth/reset-password", 200)
        await page.sees("Password reset successful")
        await page.is_at("/login")
        await sign_in(page, current, email, NEW_PASSWORD)
    async with (
        current.browser.page() as page
    ):  # the old session ended with the reset: back to the login, no loop
        await page.open(f"{current.console}/?token={token}")
        await page.called("GET", "/api/user/me", 401)
        await page.open(f"{current.console}/apps")
        await page.is_at("/login")
        assert len(page.calls) < 10


async def test_a_session_is_handed_over_in_the_address(current: BrowserSetup) -> None:
    async with current.browser.page() as page:
        await sign_up(page, current, "barbara@example.test", PASSWORD)
        token = await page.run("() => localStorage.getItem('auth_token')")
    async with current.browser.page() as page:
        await page.open(f"{current.console}/apps?token={token}")
        await page.called("GET", "/api/user/me", 200)
        await page.is_at("/apps")
        await page.sees("My Applications", "barbara@example.test")
