"""Images that we built, found by label keys of their own.

Images are deleted name by name, never pruned: engines differ in what a prune also deletes (measured).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.engine import labels as keys
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import InUse

REPOSITORY = "stackyn/"
_LOOPBACK = "127.0.0.1:"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """`id` is `sha256:…`; `size_bytes` includes shared layers. `has_command`: the image names a program to start.
    `pulled_by`: the names with a digest under which the engine pulled it from our loopback registry."""

    id: str
    size_bytes: int
    exposed_ports: tuple[int, ...]
    labels: Mapping[str, str]
    tags: tuple[str, ...]
    pulled_by: tuple[str, ...]
    has_command: bool

    @property
    def app(self) -> AppId | None:
        return keys.read_id(AppId, self.labels, keys.IMAGE_APP)


@dataclass(frozen=True, slots=True)
class PresentImage:
    """One image of a listing. The ingress's image belongs to no app."""

    id: str
    app: AppId | None
    deployment: DeploymentId | None


def tag_of(engine: Engine, app: AppId, deployment: DeploymentId) -> str:
    """Return the name of a deployment's image.

    The last part can't be computed without the installation's id. It keeps two installations on one engine apart,
    which both number their apps from 1.
    """
    return f"{REPOSITORY}a{app}:d{deployment}-{engine.labels.keyed_digest(f'{app}/{deployment}')}"


async def inspect(engine: Engine, ref: str) -> ImageInfo | None:
    """Return the image with this id or tag, ours or not. None when it is absent."""
    answer = await engine.ask_or_none(engine.docker.images.inspect(ref))
    return None if answer is None else _info(answer)


async def present(engine: Engine) -> list[PresentImage]:
    """Return this installation's images, named or not, with one request."""
    images = []
    for listed in await engine.ask(engine.docker.images.list(filters=engine.labels.image_filter())):
        labels = listed.get("Labels") or {}
        if engine.labels.owns_image(labels):
            app = keys.read_id(AppId, labels, keys.IMAGE_APP)
            deployment = keys.read_id(DeploymentId, labels, keys.IMAGE_DEPLOYMENT)
            images.append(PresentImage(listed["Id"], app, deployment))
    return images


async def list_of_app(engine: Engine, app: AppId) -> list[str]:
    """Return the ids of the app's named images."""
    filters = engine.labels.image_filter()
    filters["label"].append(f"{keys.IMAGE_APP}={app}")
    ids = []
    for listed in await engine.ask(engine.docker.images.list(filters=filters)):
        if any(name.startswith(REPOSITORY) for name in listed.get("RepoTags") or []):
            info = await inspect(engine, listed["Id"])
            if info is not None and engine.labels.owns_image(info.labels):
                ids.append(info.id)
    return ids


async def tag(engine: Engine, ref: str, name: str) -> None:
    """Give an image of ours another name, `<repository>:<tag>`."""
    repository, _, version = name.rpartition(":")
    await engine.ask(engine.docker.images.tag(ref, repository, tag=version))


async def remove(engine: Engine, ref: str) -> bool:
    """Remove an image of ours with the names that we gave it. False when a container still uses it; absent is success.
    The image stays when somebody else gave it a name."""
    info = await inspect(engine, ref)
    if info is None or not engine.labels.owns_image(info.labels):
        return True
    names = [name for name in info.tags if name.startswith(REPOSITORY)]
    if len(names) == len(info.tags):
        # The name of the pull stays when a server was killed before it tagged the image.
        names += [*info.pulled_by, info.id]
    try:
        for name in names:
            await engine.ask_or_none(engine.docker.images.delete(name))
    except InUse:
        return False
    return True


def _info(answer: Mapping[str, Any]) -> ImageInfo:
    settings = answer.get("Config") or {}
    ports = (name.partition("/") for name in settings.get("ExposedPorts") or {})
    return ImageInfo(
        id=answer["Id"],
        size_bytes=int(answer.get("Size") or 0),
        exposed_ports=tuple(sorted(int(number) for number, _, protocol in ports if protocol in ("", "tcp"))),
        labels=settings.get("Labels") or {},
        # containerd's store lists names with a digest among the tags.
        tags=tuple(name for name in answer.get("RepoTags") or () if "@" not in name),
        pulled_by=tuple(name for name in answer.get("RepoDigests") or () if name.startswith(_LOOPBACK)),
        has_command=bool(settings.get("Cmd") or settings.get("Entrypoint")),
    )
