"""Section 1 of the contract: what holds for every address of the API."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.jobs.periodic import PeriodicReport
from tests.contract.conftest import Answer, Platform
from tests.patience import within

HEADERS_TO_ALLOW = {"Authorization", "Content-Type", "Accept", "Origin", "X-Requested-With"}
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
BEYOND_64_BITS = str(2**63)


def is_error(answer: Answer, status: int, code: str) -> bool:
    """Check the shape of every error of the contract."""
    assert (answer.status, answer.json["code"]) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert isinstance(answer.json["error"], str) and answer.json["error"]
    if answer.json["error"] != "Invalid email or password":
        assert not re.search("401|unauthorized|expired|Invalid", answer.json["error"])
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    return True


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/api/apps", 401),
        ("GET", "/nothing/here", 404),
        ("GET", "/", 404),
        ("PUT", "/api/apps", 405),
        ("POST", "/api/auth/login", 400),
        ("GET", "/api/v1/apps/1", 401),
    ],
)
@pytest.mark.parametrize("origin", ["https://console.example.test", None])
async def test_every_answer_names_the_allowed_origin(
    platform: Platform, method: str, path: str, status: int, origin: str | None
) -> None:
    answer = await platform.nobody.call(method, path, headers={"Origin": origin} if origin else {})
    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/api/apps", "/api/v1/apps/1/env/A%2FB", "/api/user/me", "/nothing/here", "/api/apps/"]
)
@pytest.mark.parametrize("is_bare", [True, False])
async def test_any_options_is_answered_before_anything_is_checked(
    platform: Platform, path: str, is_bare: bool
) -> None:
    headers = {} if is_bare else {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization,content-type",
    }  # fmt: skip
    answer = await platform.nobody.call("OPTIONS", path, headers=headers)
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert set(answer.headers["Access-Control-Allow-Methods"].split(", ")) == METHODS
    assert set(answer.headers["Access-Control-Allow-Headers"].split(", ")) == HEADERS_TO_ALLOW
    assert answer.headers["Access-Control-Max-Age"] == "3600"


async def test_a_list_of_origins_answers_the_asking_one_and_no_other(launch: Callable[..., Any]) -> None:
    ours = ("https://console.example.test", "https://cms.example.test")
    platform = await launch(public=config.PublicSettings(allowed_origins=ours))
    own = "http://cms.localhost"
    for origin, allowed in [(ours[1], ours[1]), (own, own), ("https://evil.example.test", ours[0])]:
        answer = await platform.nobody.get("/api/apps", headers={"Origin": origin})
        assert answer.headers["Access-Control-Allow-Origin"] == allowed


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/apps/5/",
        "/api/user/me/",
        "/api/auth/login/",
        "/health/",
        "/api/v1/deployments/1/",
        "/api/v1//apps",
        "/api",
    ],
)
async def test_no_other_path_with_a_trailing_slash_is_an_alias(platform: Platform, path: str) -> None:
    person = await platform.person()
    assert is_error(await person.call("DELETE", path), 404, "NOT_FOUND")


async def test_the_listed_paths_work_with_a_trailing_slash_too(platform: Platform) -> None:
    person = await platform.person()
    assert (await person.get("/api/apps/", allow_redirects=False)).json == []
    body = {"name": "slashed", "repo_url": "https://git.example.test/a/b"}
    assert (await person.post("/api/v1/apps/", json=body, allow_redirects=False)).status == 201


async def test_a_wrong_method_is_405_in_json_and_says_which_are_right(platform: Platform) -> None:
    answer = await (await platform.person()).get("/api/v1/apps")
    assert is_error(answer, 405, "METHOD_NOT_ALLOWED")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "identifier",
    ["999", "abc", "0", "01", "+1", "-1", "1.0", "1_0", "1%20", "%31%20", "%D9%A1", BEYOND_64_BITS, "9" * 400, "1%00",
     "%FF", "..%2F1", "%252e%252e", "dep_1", "null"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/v1/apps/{}", "App not found"),
        ("/api/v1/apps/{}/env", "App not found"),
        ("/api/v1/deployments/{}", "Deployment not found"),
        ("/admin/users/{}", "User not found"),
    ],
)
async def test_a_malformed_or_unknown_id_is_404(
    platform: Platform, path: str, words: str, identifier: str
) -> None:
    person = await platform.person(is_admin=True)
    answer = await person.get(path.format(identifier))
    assert is_error(answer, 404, "NOT_FOUND") and answer.json["error"] == words


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "INVALID_JSON"),
        (b"  ", "INVALID_JSON"),
        (b"{", "INVALID_JSON"),
        (b'{"name": "a"} trailing', "INVALID_JSON"),
        (b"\xff\xfe{}", "INVALID_JSON"),
        (b'{"name": "\xff"}', "INVALID_JSON"),
        (b'{"name": "\\ud800"}', "INVALID_JSON"),
        ("\ufeff{}".encode(), "INVALID_JSON"),
        (b"[" * 50_000 + b"]" * 50_000, "INVALID_JSON"),
        (b'{"name":' * 20_000, "INVALID_JSON"),
        (b"[]", "INVALID_REQUEST"),
        (b"null", "INVALID_REQUEST"),
        (b"7", "INVALID_REQUEST"),
        (b"{}", "INVALID_REQUEST"),
        (b'{"name": 1, "repo_url": "https://git.example.test/a"}', "INVALID_REQUEST"),
        (b'{"name": "a", "repo_url": true}', "INVALID_REQUEST"),
        (b'{"name": "a\\u0000b", "repo_url": "https://git.example.test/a"}', "INVALID_REQUEST"),
        (b'{"name": "a", "repo_url": "https://git.example.test/a", "env_vars": {}}', "INVALID_REQUEST"),
        (b'{"name": "a", "repo_url": "https://git.example.test/a", "memory_mb": true}', "INVALID_REQUEST"),
        (b'{"name": "a", "repo_url": "https://git.example.test/a", "memory_mb": 1e400}', "INVALID_REQUEST"),
        (b'{"name": "a", "repo_url": "https://git.example.test/a", "cpu": NaN}', "INVALID_REQUEST"),
    ],
)
async def test_a_bad_body_is_400_with_a_sentence(platform: Platform, body: bytes, code: str) -> None:
    person = await platform.person()
    assert is_error(await person.post("/api/v1/apps", data=body), 400, code)


async def test_the_place_in_a_list_stays_out_of_the_sentence(platform: Platform) -> None:
    variables: list[Any] = [{"key": "A"}] * 401 + [{"key": 1}]
    body = {"name": "a", "repo_url": "https://git.example.test/a", "env_vars": variables}
    answer = await (await platform.person()).post("/api/v1/apps", json=body)
    assert is_error(answer, 400, "INVALID_REQUEST")
    assert answer.json["details"]["fields"][0]["field"] == "env_vars.401.key"


async def test_words_that_a_client_acts_on_never_come_back_in_an_error(platform: Platform) -> None:
    person = await platform.person()
    for name in ("error 401", "Unauthorized", "Invalid", "expired"):
        await person.new_app(name)
        body = {"name": name, "repo_url": "https://git.example.test/a"}
        assert is_error(await person.post("/api/v1/apps", json=body), 409, "NAME_TAKEN")
        await person.delete("/api/v1/apps/" + (await person.get("/api/apps")).json[0]["id"])


async def test_unknown_keys_are_ignored_and_no_content_type_is_needed(platform: Platform) -> None:
    person = await platform.person()
    body = b'{"name": "a", "repo_url": "https://git.example.test/a", "unknown": {"deep": [1]}, "slug": null}'
    answer = await person.post("/api/v1/apps", data=body, skip_auto_headers=["Content-Type"])
    assert answer.status == 201, answer.text


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_over_the_limit_is_413(launch: Callable[..., Any], is_chunked: bool) -> None:
    platform = await launch(server=config.ServerSettings(body_limit_bytes=1000))

    async def pieces() -> Any:
        for _ in range(20):
            yield b"x" * 100

    answer = await platform.nobody.post("/api/auth/login", data=pieces() if is_chunked else b"x" * 2000)
    assert is_error(answer, 413, "BODY_TOO_LARGE")


async def test_ten_megabytes_are_refused_under_the_shipped_limit(platform: Platform) -> None:
    person = await platform.person()
    body = io.BytesIO(b'{"name": "' + b"x" * 10_000_000 + b'"}')
    answer = await person.post("/api/v1/apps", data=body)
    assert is_error(answer, 413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("drip_seconds", [0.05, 60.0], ids=["drips", "stalls"])
async def test_a_body_that_never_arrives_times_out_alone(
    launch: Callable[..., Any], drip_seconds: float
) -> None:
    platform = await launch(server=config.ServerSettings(body_seconds=0.5))

    async def slow() -> bytes:
        reader, writer = await asyncio.open_connection(platform.client.host, platform.client.port)
        writer.write(b"POST /api/auth/login HTTP/1.1\r\nHost: api\r\nContent-Length: 50000\r\n\r\n{")
        answered = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        while not (await asyncio.wait({answered}, timeout=drip_seconds))[0]:
            writer.write(b" ")
        writer.close()
        return answered.result()

    async with within(10):
        all_slow = asyncio.gather(*(slow() for _ in range(100)))
        assert (await platform.nobody.get("/health")).status == 200
        assert not all_slow.done()
        heads = await all_slow
    assert {head.split(b"\r\n")[0] for head in heads} == {b"HTTP/1.1 400 Bad Request"}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_endpoint_without_a_body_never_parses_one(platform: Platform, method: str) -> None:
    person = await platform.person()
    app = await person.new_app()
    path = f"/api/v1/apps/{app}" + ("/redeploy" if method == "POST" else "")
    answer = await person.call(method, path, data=b"{ no json", headers={"Content-Type": "application/json"})
    assert answer.status in (200, 201), answer.text


async def test_a_response_has_a_request_id_and_keeps_a_given_one(platform: Platform) -> None:
    assert (await platform.nobody.get("/health")).headers["X-Request-Id"]
    given = await platform.nobody.get("/nothing", headers={"X-Request-Id": "trace-12345"})
    assert given.json["request_id"] == "trace-12345"
    harmful = await platform.nobody.get("/nothing", headers={"X-Request-Id": "a<script>alert(1)"})
    assert "<" not in harmful.json["request_id"]


async def test_what_nobody_foresaw_is_500_without_its_text(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret detail of /var/lib")

    monkeypatch.setattr(type(platform.services.sessions), "identify", broken)
    answer = await platform.nobody.get("/api/apps", headers={"Authorization": "Bearer x"})
    assert is_error(answer, 500, "INTERNAL")
    assert "secret detail" not in answer.text
    recorded = [record for record in records if record["event"] == "request.failed"]
    assert [record["request_id"] for record in recorded] == [answer.json["request_id"]]


async def test_a_database_that_is_away_is_503_with_a_sentence(platform: Platform) -> None:
    person = await platform.person()
    await platform.database.close()
    assert is_error(await person.get("/api/apps"), 503, "TEMPORARILY_UNAVAILABLE")
    assert (await platform.nobody.get("/health")).json == {"status": "ok"}


async def test_readiness_names_the_part_that_is_missing(platform: Platform) -> None:
    assert (await platform.nobody.get("/health/ready")).json["parts"] == {"database": "ok"}
    platform.ready = type(platform.ready)(False, {"engine": "does not answer"})
    answer = await platform.nobody.get("/health/ready")
    assert is_error(answer, 503, "TEMPORARILY_UNAVAILABLE")
    assert answer.json["details"]["parts"] == {"engine": "does not answer"}


async def test_readiness_shows_the_deadline_of_each_periodic_chore(platform: Platform) -> None:
    chore = PeriodicReport("garbage", True, None, 700.04, 900.0, None, None, "It took too long.")
    platform.ready = type(platform.ready)(True, {"periodic": "ok"}, (chore,))
    assert (await platform.nobody.get("/health/ready")).json["periodic"] == [
        {
            "name": "garbage",
            "is_late": True,
            "last_success_at": None,
            "seconds_without_success": 700.0,
            "late_after_seconds": 900.0,
            "next_run_at": None,
            "error": "It took too long.",
        }
    ]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/\xd9\xa1 HTTP/1.1\r\nHost: api\r\n",
        b"GET /health HTTP/1.1\r\nHost: api\r\nX-Long: " + b"x" * 20_000 + b"\r\n",
        b"GET /health HTTP/1.1\r\nHost: api\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)),
        b"NONSENSE\r\n",
        b"GET /health HTTP/1.1\r\nHost: api\r\nContent-Length: many\r\n",
    ],
    ids=["raw bytes", "long header", "header flood", "no http", "bad length"],
)
async def test_what_is_no_readable_request_is_answered_in_json_too(platform: Platform, head: bytes) -> None:
    status, headers, body = await _raw(platform, head + b"\r\n")
    assert status == 400
    assert headers["content-type"] == "application/json"
    assert headers["access-control-allow-origin"] == "*"
    assert body["code"] == "INVALID_REQUEST" and body["error"]


@pytest.mark.parametrize(
    ("path", "status"), [(b"/nothing", 417), (b"/health", 200)], ids=["unknown path", "known path"]
)
async def test_an_unknown_expectation_is_no_plain_text(platform: Platform, path: bytes, status: int) -> None:
    answered, headers, _ = await _raw(
        platform,
        b"GET " + path + b" HTTP/1.1\r\nHost: api\r\nExpect: the-impossible\r\nConnection: close\r\n\r\n",
    )
    assert (answered, headers["content-type"]) == (status, "application/json")


async def _raw(platform: Platform, request: bytes) -> tuple[int, dict[str, str], Any]:
    """Send bytes, read one answer."""
    reader, writer = await asyncio.open_connection(platform.client.host, platform.client.port)
    writer.write(request)
    async with within(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status_line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return int(status_line.split()[1]), headers, json.loads(body)
