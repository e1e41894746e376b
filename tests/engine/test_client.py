"""The connection: which API version is spoken, and what happens when the engine is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from stackyn_server import config
from stackyn_server.domain.failures import FailureCode, TransientFailure
from stackyn_server.engine.api_version import NEWEST_API, OLDEST_API, choose_api_version, refuse_remapped
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import Absent, EngineRefused, EngineUnavailable, EngineUnsupported
from tests.engine.conftest import SOCKET


async def test_the_version_spoken_is_one_that_was_tested(engine: Engine) -> None:
    assert OLDEST_API <= engine.facts.api_version <= NEWEST_API
    assert engine.facts.version
    assert engine.facts.cgroup_version in (1, 2)
    assert engine.facts.memory_bytes > 0 and engine.facts.processors > 0


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ({"ApiVersion": "1.41", "MinAPIVersion": "1.12"}, (1, 41)),
        ({"ApiVersion": "1.51", "MinAPIVersion": "1.24"}, (1, 51)),
        ({"ApiVersion": "1.56", "MinAPIVersion": "1.44"}, (1, 51)),
        ({"ApiVersion": "1.47"}, (1, 47)),
    ],
    ids=["20.10", "28.5", "29", "no-minimum"],
)
def test_the_newest_version_that_both_know_is_chosen(
    offered: Mapping[str, str], expected: tuple[int, int]
) -> None:
    assert choose_api_version(offered) == expected


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        ({"Version": "19.03", "ApiVersion": "1.40"}, "Docker 19.03 is too old"),
        (
            {"Version": "31.0", "ApiVersion": "1.70", "MinAPIVersion": "1.60"},
            "accepts only API 1.60 or newer",
        ),
    ],
)
def test_engine_without_common_version_is_refused(offered: Mapping[str, str], words: str) -> None:
    with pytest.raises(EngineUnsupported, match=words) as caught:
        choose_api_version(offered)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "is_refused"),
    [
        (["name=seccomp,profile=default", "name=userns"], True),
        (["name=seccomp,profile=default"], False),
        (None, False),
    ],
)
def test_an_engine_that_remaps_users_is_refused(options: list[str] | None, is_refused: bool) -> None:
    with pytest.raises(EngineUnsupported, match="userns-remap") if is_refused else nullcontext():
        refuse_remapped({"SecurityOptions": options})


async def test_an_absent_engine_is_an_outage_and_leaves_nothing_open(tmp_path: Path) -> None:
    settings = config.EngineSettings(socket=tmp_path / "nothing.sock")

    with pytest.raises(EngineUnavailable) as caught:
        async with Engine(settings, config.NetworkSettings(), "nobody"):
            pass

    assert isinstance(caught.value, TransientFailure)
    assert caught.value.failure.code is FailureCode.ENGINE_UNAVAILABLE
    assert str(tmp_path) not in caught.value.message + caught.value.hint


async def test_an_engine_that_does_not_answer_is_an_outage(tmp_path: Path) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(silence, tmp_path / "silent.sock")
    async with server:
        settings = config.EngineSettings(socket=tmp_path / "silent.sock", request_seconds=0.2)
        with pytest.raises(EngineUnavailable):
            await Engine(settings, config.NetworkSettings(), "nobody").open()


async def test_a_refusal_keeps_the_engines_words_for_the_log_alone(engine: Engine) -> None:
    with pytest.raises(Absent) as caught:
        await engine.request("GET", "containers/no-such-container/json")

    assert caught.value.answer == 404
    assert "no-such-container" in caught.value.reason
    assert "no-such-container" not in caught.value.message
    with pytest.raises(EngineRefused):
        await engine.request("POST", "containers/create", body={})


async def test_an_answer_that_is_no_json_is_none(engine: Engine) -> None:
    assert await engine.request("GET", "_ping") is None


async def test_a_closed_client_says_unavailable() -> None:
    engine = Engine(config.EngineSettings(socket=SOCKET), config.NetworkSettings(), "nobody")
    await engine.open()
    await engine.close()
    await engine.close()

    with pytest.raises(EngineUnavailable):
        await engine.request("GET", "info")
