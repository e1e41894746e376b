"""The log's form, and what systemd hears."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from stackyn_server import telemetry
from stackyn_server.security.redaction import redact_event


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in telemetry.VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_an_event_is_one_json_line_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("info", json=True)
    structlog.get_logger().info("app.created", app=7)
    structlog.get_logger().debug("app.looked_at")
    (record,) = records(capsys)
    assert record.pop("timestamp").endswith("Z")
    assert record == {"event": "app.created", "app": 7, "level": "info"}


def test_libraries_and_warnings_take_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("info", json=True)
    logging.getLogger("some.library").warning("watch %s", "out")
    logging.getLogger("apscheduler.scheduler").info("chatter")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old habits", stacklevel=1)
    entries = records(capsys)
    assert [record["level"] for record in entries] == ["warning", "warning"]
    assert entries[0]["event"] == "watch out" and "old habits" in entries[1]["event"]


async def test_bound_fields_stay_with_their_task(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("info", json=True)
    log = structlog.get_logger()
    both_bound = asyncio.Barrier(2)

    async def work(number: int) -> None:
        with structlog.contextvars.bound_contextvars(job=number):
            await both_bound.wait()
            log.info("job.worked", number=number)

    await asyncio.gather(work(1), work(2))
    log.info("server.idle")
    entries = records(capsys)
    assert {(record.get("job"), record.get("number")) for record in entries[:2]} == {(1, 1), (2, 2)}
    assert "job" not in entries[2]


def test_a_traceback_is_redacted_and_shows_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("info", json=True, redaction=[redact_event])
    hidden = "local" + "secret"
    try:
        raise ValueError("can't reach https://user:password@git.example.test/")
    except ValueError:
        structlog.get_logger().exception("source.broke", token=hidden)
    (record,) = records(capsys)
    assert "ValueError: can't reach https://***@git.example.test/" in record["exception"]
    assert hidden not in json.dumps(record)


def test_a_terminal_gets_text(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("info", json=False)
    structlog.get_logger().info("app.created", app=7)
    assert "app.created" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_hears_what_is_told(kind: str, tmp_path: Path) -> None:
    name = f"{tmp_path}/notify" if kind == "path" else f"@stackyn-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if kind == "abstract" else name)
        systemd.settimeout(5)
        assert telemetry.notify("READY=1", "STATUS=Serving.", environment={"NOTIFY_SOCKET": name})
        assert systemd.recv(100) == b"READY=1\nSTATUS=Serving."


def test_without_systemd_nothing_is_told(tmp_path: Path) -> None:
    assert not telemetry.notify("READY=1", environment={})
    assert not telemetry.notify("READY=1", environment={"NOTIFY_SOCKET": f"{tmp_path}/nobody"})


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_served_only_when_it_asks_us(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert telemetry.watchdog_seconds(environment) == seconds
