"""The legacy console in a browser: Firebase's part is played by a double, the rest is real."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.e2e.browser.chromium import Page
from tests.e2e.browser.conftest import BrowserSetup
from tests.firebase import Google
from tests.git_server import GitServer
from tests.server_process import PASSWORD
from tests.tiny import SERVE, tiny_app

BUILD_SECONDS = 90
THIRD_PARTIES = ["*://*.googleapis.com/*", "*://*.firebaseapp.com/*", "*://*.googletagmanager.com/*"]


@dataclass
class Accounts:
    """Firebase's accounts as its JavaScript library asks for them (REST reference of Identity Toolkit v1)."""

    google: Google
    passwords: dict[str, str] = field(default_factory=dict)
    mails: list[str] = field(default_factory=list)

    async def answer(self, method: str, url: str, body: str) -> tuple[int, object]:
        parts = urlsplit(url)
        if method == "OPTIONS":
            return 200, {}
        if parts.netloc.startswith("securetoken."):
            email = dict(pair.split("=") for pair in body.split("&"))["refresh_token"].removeprefix("of-")
            email = email.replace("%40", "@")
            token = self._token(email)
            return 200, {"id_token": token, "access_token": token, "refresh_token": f"of-{email}",
                         "expires_in": "3600", "token_type": "Bearer", "user_id": f"uid-{email}"}  # fmt: skip
        if not parts.netloc.startswith("identitytoolkit."):
            return 404, {}
        fields = json.loads(body or "{}")
        match parts.path.rpartition(":")[2]:
            case "signUp":
                self.passwords[fields["email"]] = fields["password"]
                return 200, self._signed_in(fields["email"])
            case "signInWithPassword":
                if self.passwords.get(fields["email"]) != fields["password"]:
                    return 400, {"error": {"code": 400, "message": "INVALID_LOGIN_CREDENTIALS"}}
                return 200, self._signed_in(fields["email"])
            case "sendOobCode":
                self.mails.append(fields["requestType"])
                return 200, {"email": fields.get("email", "")}
            case "lookup":
                email = self.google.email_of(fields["idToken"])
                user = {"localId": f"uid-{email}", "email": email,
                        "emailVerified": f"uid-{email}" in self.google.verified}  # fmt: skip
                return 200, {"users": [user]}
        return 404, {}

    def verify(self, email: str) -> None:
        """The person clicked the link in the mail."""
        self.google.verified.add(f"uid-{email}")

    def _signed_in(self, email: str) -> dict[str, object]:
        return {"localId": f"uid-{email}", "email": email, "idToken": self._token(email), "registered": True,
                "refreshToken": f"of-{email}", "expiresIn": "3600"}  # fmt: skip

    def _token(self, email: str) -> str:
        uid = f"uid-{email}"
        return self.google.token(sub=uid, email=email, email_verified=uid in self.google.verified)


async def prepared(page: Page, setup: BrowserSetup) -> Accounts:
    accounts = Accounts(setup.google)
    await page.answer_for(THIRD_PARTIES, accounts.answer)
    return accounts


async def sign_in(page: Page, setup: BrowserSetup, email: str) -> None:
    await page.open(f"{setup.console}/login")
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.run("() => document.querySelector('form').requestSubmit()")


async def sign_up(page: Page, setup: BrowserSetup, accounts: Accounts, email: str) -> None:
    await page.open(f"{setup.console}/signup")
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.fill("#confirmPassword", PASSWORD)
    await page.click("Continue")
    await page.sees("Verify your email")
    accounts.verify(email)
    await page.click("I've verified my email")
    await page.sees("Complete your account")
    await page.fill("#fullName", "Grace Hopper")
    await page.click("Go to console")
    await page.called("POST", "/api/auth/signup/complete", 201, 200)


async def test_sign_up_at_firebase_and_every_page_of_an_app(legacy: BrowserSetup, git: GitServer) -> None:
    email = "grace@legacy.test"
    url, _ = await git.publish("legacy", tiny_app("legacy", start="echo it starts\n" + SERVE))
    async with legacy.browser.page() as page:
        accounts = await prepared(page, legacy)
        await sign_up(page, legacy, accounts, email)
        assert "VERIFY_EMAIL" in accounts.mails
        await page.open(f"{legacy.console}/apps")
        await page.called("GET", "/api/apps", 200)
        await page.called("GET", "/api/user/me", 200)
        await page.sees("No applications yet")

        await page.open(f"{legacy.console}/apps/new")
        await page.fill("#name", "Legacy App")
        await page.fill("#repo_url", url)
        await page.fill("#branch", "main")
        await page.click("+ Add Variable")
        await page.fill("input[placeholder=KEY]", "GREETING")
        await page.fill("input[placeholder=value]", "hello")
        await page.click("Create App")
        app = (await page.answer("POST", "/api/v1/apps", 201))["app"]["id"]
        await page.called(
            "POST", f"/api/v1/apps/{app}/env", 200
        )  # after the app: the first deploy takes it even so
        await until_status(page, legacy, app, "running")
        await page.sees("Running", "http://legacy-app.localhost")
        status, text = await legacy.server.visit("legacy-app", "/cgi-bin/env")
        assert status == 200 and "GREETING=hello" in text

        await page.click("Logs")
        await page.sees("Application Logs", "it starts")
        await until_measured(page, legacy, app)
        await page.click("Settings")
        await page.sees("Existing Variables", "GREETING")
        await page.click("Deployments")
        await page.sees("Deployment History", "Deployment #")

        await git.publish("legacy", {"notes.txt": "nothing to run"})
        await page.click("Redeploy app")
        failed = (await page.answer("POST", f"/api/v1/apps/{app}/redeploy", 201))["deployment"]["id"]
        await until_deployment(page, legacy, app, failed, "failed")
        await page.sees("Deployment Failed")
        assert (await legacy.server.visit("legacy-app"))[0] == 200

        await page.open(f"{legacy.console}/apps/{app}")
        await page.click("Delete app")
        await page.called("DELETE", f"/api/v1/apps/{app}", 200)
        await page.is_at("/apps")
        await page.sees("No applications yet")
        assert page.crashes == []


async def test_firebase_session_survives_a_load_and_api_is_fallback(legacy: BrowserSetup) -> None:
    email = "kay@legacy.test"
    async with legacy.browser.page() as page:
        accounts = await prepared(page, legacy)
        accounts.passwords[email] = PASSWORD
        accounts.verify(email)
        await sign_in(page, legacy, email)
        await page.called("POST", "/api/auth/verify-token", 200)
        await page.called("GET", "/api/apps", 200)
        await page.open(f"{legacy.console}/apps")
        await page.called("GET", "/api/apps", 200)
        await page.sees("No applications yet")
    await legacy.server.api(
        "POST", "/api/auth/signup", {"email": "own@legacy.test", "password": PASSWORD}, expect=201
    )
    async with legacy.browser.page() as page:
        await prepared(page, legacy)
        await sign_in(page, legacy, "own@legacy.test")
        await page.called("POST", "/api/auth/login", 200)
        await page.sees("No applications yet")
        await sign_in(page, legacy, "nobody@legacy.test")
        refused = await page.answer("POST", "/api/auth/login", 401)
        await page.sees(refused["error"])


async def test_a_forgotten_password_is_a_matter_of_firebase_alone(legacy: BrowserSetup) -> None:
    email = "barbara@legacy.test"
    async with legacy.browser.page() as page:
        accounts = await prepared(page, legacy)
        accounts.passwords[email] = PASSWORD
        await page.open(f"{legacy.console}/forgot-password")
        await page.fill("#email", email)
        await page.click("Send reset link")
        await page.sees("We've sent a password reset link to", email)
        assert accounts.mails == ["PASSWORD_RESET"]
        assert [call.url for call in page.calls if "/api/" in urlsplit(call.url).path] == []


async def until_status(page: Page, setup: BrowserSetup, app: str, status: str) -> None:
    """Load the page until the build is over: this console never notices by itself."""

    async def shown() -> bool:
        await page.open(f"{setup.console}/apps/{app}")
        await page.sees("Container Status")
        return status in (await page.text()).split("\n")

    await page.until(shown, f"app {app} is {status}", BUILD_SECONDS)


async def until_measured(page: Page, setup: BrowserSetup, app: str) -> None:
    async def shown() -> bool:
        await page.open(f"{setup.console}/apps/{app}")
        await page.click("Metrics")
        return "restart count" in (await page.text()).lower()

    await page.until(shown, f"app {app} is measured")


async def until_deployment(page: Page, setup: BrowserSetup, app: str, deployment: int, status: str) -> None:
    async def shown() -> bool:
        await page.open(f"{setup.console}/apps/{app}/deployments/{deployment}")
        await page.sees("Deployment Logs")
        return status in (await page.text()).lower()

    await page.until(shown, f"deployment {deployment} is {status}", BUILD_SECONDS)
