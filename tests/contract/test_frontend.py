"""The built web clients as files: pages that find their way themselves, and nothing outside their folders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from stackyn_server.api.frontend import FrontendMissing, WebClient, create_frontend_app, web_clients
from stackyn_server.config import FrontendSettings

CONSOLE, CMS = "console.example.test", "cms.example.test"
FILES = {"index.html": "the page", "assets/index-3f9a.js": "the script", "logo.svg": "<svg/>"}


def a_client(folder: Path, name: str) -> str:
    for path, text in FILES.items():
        (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / name / path).write_text(f"{name}: {text}")
    return str(folder / name)


@pytest.fixture
def served(tmp_path: Path) -> dict[str, WebClient]:
    console, cms = a_client(tmp_path, "console"), a_client(tmp_path, "cms")
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "console" / "link.html").symlink_to(tmp_path / "secret.html")
    (tmp_path / "console-other").mkdir()
    (tmp_path / "console-other" / "a.html").write_text("secret")
    return web_clients(FrontendSettings(console=console, cms=cms))


@pytest.fixture
async def client(served: dict[str, WebClient]) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(create_frontend_app(served, "example.test"))) as client:
        yield client


async def get(client: TestClient[Any, Any], host: str, path: str) -> tuple[int, str, Any]:
    url = URL(path, encoded=True)
    async with client.get(url, headers={"Host": host}, allow_redirects=False) as answer:
        return answer.status, await answer.text(), answer.headers


@pytest.mark.parametrize(
    ("host", "path", "text", "type_", "kept"),
    [
        (CONSOLE, "/", "console: the page", "text/html", "no-cache"),
        (CONSOLE, "/apps/5/deployments/9?tab=logs", "console: the page", "text/html", "no-cache"),
        (CONSOLE.upper() + ":8000", "/login", "console: the page", "text/html", "no-cache"),
        (CONSOLE, "/assets/index-3f9a.js", "console: the script", "javascript", "immutable"),
        (CONSOLE, "/logo.svg", "console: <svg/>", "image/svg+xml", "max-age=3600"),
        (CMS, "/cms/", "cms: the page", "text/html", "no-cache"),
        (CMS, "/cms/login", "cms: the page", "text/html", "no-cache"),
        (CMS, "/cms/assets/index-3f9a.js", "cms: the script", "javascript", "immutable"),
    ],
)
async def test_each_client_is_served_at_its_host(
    client: TestClient[Any, Any], host: str, path: str, text: str, type_: str, kept: str
) -> None:
    status, read, headers = await get(client, host, path)
    assert (status, read) == (200, text)
    assert type_ in headers["Content-Type"] and kept in headers["Cache-Control"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"


@pytest.mark.parametrize("path", ["/", "/login", "/cms"])
async def test_the_cms_redirects_to_the_path_it_is_built_for(client: TestClient[Any, Any], path: str) -> None:
    status, _, headers = await get(client, CMS, path)
    assert (status, headers["Location"]) == (302, "/cms/")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.html", "/..%2fsecret.html", "/%2e%2e/secret.html", "/a/../../secret.html",
        "/..%2Fconsole-other%2Fa.html", "/assets/..%2f..%2fsecret.html", "/%2Fsecret.html", "/link.html",
        "/..%5csecret.html", "/a%00.html", "/%2fetc%2fpasswd", "/.html/" + "a" * 300 + ".js",
        "/assets/index-0000.js", "/assets/none", "/robots.txt",
    ],
)  # fmt: skip
async def test_what_is_outside_or_not_there_is_404(client: TestClient[Any, Any], path: str) -> None:
    status, text, _ = await get(client, CONSOLE, path)
    assert status == 404 and "secret" not in text


async def test_other_hosts_and_methods_get_nothing(client: TestClient[Any, Any]) -> None:
    assert (await get(client, "api.example.test", "/"))[0] == 404
    async with client.post("/", headers={"Host": CONSOLE}) as answer:
        assert answer.status == 405


async def test_a_page_that_did_not_change_is_not_sent_again(client: TestClient[Any, Any]) -> None:
    _, _, headers = await get(client, CONSOLE, "/")
    again = {"Host": CONSOLE, "If-None-Match": headers["ETag"]}
    async with client.get("/", headers=again) as answer:
        assert answer.status == 304


def test_a_folder_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FrontendMissing, match=r"\[frontend\] cms names"):
        web_clients(FrontendSettings(cms=str(tmp_path)))
    assert web_clients(FrontendSettings()) == {}
