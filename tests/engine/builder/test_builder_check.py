"""The doctor tries whether a sealed build runs on this machine, and says what is in its way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.engine import containers
from stackyn_server.engine.builder import builder_container, caches
from stackyn_server.engine.builder.builder_check import check_builder, hint_for
from stackyn_server.engine.client import Engine
from stackyn_server.engine.labels import Role
from tests.engine.building import add_daemon_option

# What rootlesskit 2.3.6 said, and where.
NO_NAMESPACES = (
    "[rootlesskit:parent] error: failed to start the child: fork/exec /proc/self/exe: no space left on device"
)
REFUSED = "[rootlesskit:parent] error: failed to start the child: fork/exec /proc/self/exe: permission denied"


async def test_build_is_tried_and_nothing_is_left(engine: Engine, build_settings: config.Settings) -> None:
    before = await caches.list_all(engine)

    tried = await check_builder(engine, build_settings)

    assert (tried.reason, tried.hint, tried.has_overlay) == ("", "", True)
    assert await containers.list_of_role(engine, Role.BUILDER) == []
    assert before or await caches.list_all(engine) == []


async def test_builder_is_tried_without_base_images(
    engine: Engine, build_settings: config.Settings, tmp_path: Path
) -> None:
    images = build_settings.images.model_copy(update={"directory": tmp_path / "none"})

    tried = await check_builder(engine, build_settings.model_copy(update={"images": images}))

    assert not tried.reason


async def test_machine_without_overlay_is_recognised(
    engine: Engine, build_settings: config.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_daemon_option(monkeypatch, "--oci-worker-snapshotter=native")

    tried = await check_builder(engine, build_settings)

    assert not tried.reason and not tried.has_overlay


async def test_kernel_that_refuses_namespaces_is_named(
    engine: Engine, build_settings: config.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the engine's own filter of system calls does."""
    creation_body = builder_container.creation_body

    def usual_filter(*given: Any) -> dict[str, Any]:
        asked = creation_body(*given)
        return asked | {"HostConfig": asked["HostConfig"] | {"SecurityOpt": ["apparmor=unconfined"]}}

    monkeypatch.setattr(builder_container, "creation_body", usual_filter)

    tried = await check_builder(engine, build_settings)

    assert "fork/exec /proc/self/exe: operation not permitted" in tried.reason
    assert "security module" in tried.hint


async def test_user_map_that_can_not_be_written_is_named(
    engine: Engine, build_settings: config.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder_container, "CAPABILITIES", ())

    tried = await check_builder(engine, build_settings)

    assert "newuidmap" in tried.reason and "scripts/base-images" in tried.hint


@pytest.mark.parametrize(
    ("settings", "reason", "words"),
    [
        ({"user/max_user_namespaces": "0\n"}, NO_NAMESPACES, "user.max_user_namespaces"),
        ({"kernel/unprivileged_userns_clone": "0\n"}, REFUSED, "unprivileged_userns_clone=1"),
        ({"kernel/apparmor_restrict_unprivileged_userns": "1\n"}, REFUSED, "apparmor_restrict"),
        ({"user/max_user_namespaces": "96365\n"}, REFUSED, "security module"),
        ({}, "something else", ""),
    ],
)
def test_setting_that_forbids_builds_is_named(
    tmp_path: Path, settings: dict[str, str], reason: str, words: str
) -> None:
    for name, value in settings.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(value)

    hint = hint_for(reason, tmp_path)

    assert words in hint and bool(words) is bool(hint)
