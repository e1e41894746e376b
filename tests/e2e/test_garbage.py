"""What nobody needs goes, by label and record; what somebody else made, or removed, is respected."""

from __future__ import annotations

from typing import Any

from stackyn_server.domain.ids import DeploymentId
from stackyn_server.engine.labels import Labels, release_name
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker
from tests.tiny import tiny_app


async def test_images_are_kept_for_rollback_and_no_longer(server: ServerProcess, git: GitServer) -> None:
    app, _ = await server.deploy(git, "keep", tiny_app("1"), "Keep")
    for version in ("2", "3"):
        await git.publish("keep", tiny_app(version))
        await server.deployed(await server.redeploy(app))

    await _until_available(server, app, {3: True, 2: True, 1: False}, "two releases are kept")
    await server.api("POST", f"/api/v1/apps/{app}/rollback", {"release": 1}, expect=409)

    images = {release["release"]: release["image"] for release in await _releases(server, app)}

    async def is_removed() -> bool:
        return not await _exists(images[1])

    await server.until(is_removed, 20, "the image is gone, after it was no longer offered")

    async def removed_by_hand() -> bool:
        await docker("rmi", "-f", images[2])  # refused while its last container drains
        return not await _exists(images[2])

    await server.until(removed_by_hand, 20, "the image is removed by hand")
    await _until_available(server, app, {3: True, 2: False, 1: False}, "what was removed by hand is noticed")
    refused = await server.api("POST", f"/api/v1/apps/{app}/rollback", {"release": 2}, expect=409)
    assert "gone" in refused["error"]
    assert await server.visit("keep") == (200, "3")


async def test_garbage_without_a_row_goes_and_foreign_things_stay(
    server: ServerProcess, git: GitServer
) -> None:
    app, _ = await server.deploy(git, "mine", tiny_app(), "Mine")
    image = (await _releases(server, app))[0]["image"]
    ours, theirs = f"stackyn/a{app}:d999999-left", f"stackyn/a{app}:d999999-foreign"
    container = f"stackyn-foreign-{server.installation[:8]}"
    command = Labels(server.installation).spare_name(release_name(DeploymentId(999_999)))
    try:
        await _commit(image, ours, server.installation)
        await _commit(image, theirs, "00000000-0000-0000-0000-000000000000")
        mine = ("--label", f"io.stackyn.installation={server.installation}")
        app_labels = ("--label", "io.stackyn.role=app", "--label", "io.stackyn.instance=1")
        await docker("create", "--name", container, *mine, *app_labels, image)
        command_labels = ("--label", "io.stackyn.role=release", "--label", "io.stackyn.deployment=999999")
        await docker("create", "--name", command, *mine, *command_labels, image)

        async def is_gone() -> bool:
            return not await _exists(ours) and not await docker("ps", "-aq", "--filter", f"name={command}")

        await server.until(is_gone, 20, "image and release command that no row accounts for are removed")
        assert await _exists(theirs), "it belongs to another installation"
        assert await _exists(image)
        assert await docker("ps", "-aq", "--filter", f"name={container}"), "our labels alone make it not ours"
    finally:
        await docker("rm", "-f", container, command)
        await docker("rmi", "-f", theirs)


async def _commit(image: str, name: str, installation: str) -> None:
    """Make an image that looks like one of a deployment nobody knows. It may go at once."""
    container = (await docker("create", image)).strip()
    labels = {"installation": installation, "app": "1", "deployment": "999999", "role": "app"}
    changes = [
        part for key, value in labels.items() for part in ("-c", f"LABEL io.stackyn.image.{key}={value}")
    ]
    assert (await docker("commit", *changes, container, name)).startswith("sha256:")
    await docker("rm", container)


async def _exists(image: str) -> bool:
    return bool((await docker("images", "-q", "--no-trunc", image)).strip()) or bool(
        (await docker("image", "inspect", "-f", "{{.Id}}", image)).strip()
    )


async def _releases(server: ServerProcess, app: int) -> list[dict[str, Any]]:
    releases: list[dict[str, Any]] = await server.api("GET", f"/api/v1/apps/{app}/releases", expect=200)
    return releases


async def _until_available(server: ServerProcess, app: int, expected: dict[int, bool], what: str) -> None:
    async def is_so() -> bool:
        releases = await _releases(server, app)
        return {release["release"]: release["available"] for release in releases} == expected

    await server.until(is_so, 30, what)
