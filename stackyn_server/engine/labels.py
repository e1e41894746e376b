"""The labels by which this installation recognises its own objects in the engine. It touches no others.

A container inherits the labels of its image, and a tenant's Dockerfile can set any of these keys. So a container is
ours only when its name fits as well, which no image can set; images have keys of their own.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from stackyn_server.domain.ids import AppId, DeploymentId, InstanceId, ReleaseId, UserId

Id = TypeVar("Id")

INSTALLATION = "io.stackyn.installation"
TENANT = "io.stackyn.tenant"
APP = "io.stackyn.app"
DEPLOYMENT = "io.stackyn.deployment"
RELEASE = "io.stackyn.release"
INSTANCE = "io.stackyn.instance"
ROLE = "io.stackyn.role"
PLACE = "io.stackyn.place"  # of a build cache, among those of its tenant
WANTED = "io.stackyn.wanted"  # digest of what the ingress container was created from

IMAGE_PREFIX = "io.stackyn.image."
IMAGE_INSTALLATION = IMAGE_PREFIX + "installation"
IMAGE_APP = IMAGE_PREFIX + "app"
IMAGE_DEPLOYMENT = IMAGE_PREFIX + "deployment"
IMAGE_ROLE = IMAGE_PREFIX + "role"

_BUILDER_NAME = re.compile(r"stackyn-build-d([0-9]+)(?:-([0-9a-f]{8}))?")
_RELEASE_NAME = re.compile(r"stackyn-release-d([0-9]+)(?:-([0-9a-f]{8,12}))?")
_APP_NAME = re.compile(r"stackyn-i([0-9]+)(?:-([0-9a-f]{8,12}))?")


class Role(StrEnum):
    APP = "app"
    RELEASE_COMMAND = "release"
    INGRESS = "ingress"
    APP_NETWORK = "app-network"
    BUILD_NETWORK = "build-network"
    BUILDER = "builder"
    BUILD_CACHE = "build-cache"


# For each role: the pattern of container names, and the label whose value the name holds. Default: like instances.
_NAMES: Mapping[str, tuple[re.Pattern[str], str]] = {
    Role.BUILDER: (_BUILDER_NAME, DEPLOYMENT),
    Role.RELEASE_COMMAND: (_RELEASE_NAME, DEPLOYMENT),
}


def read_id(kind: Callable[[int], Id], labels: Mapping[str, str], key: str) -> Id | None:
    """Return the id in a label, None where the label is missing or holds no id."""
    text = labels.get(key, "")
    return kind(int(text)) if text.isdecimal() else None


def container_name(instance: InstanceId) -> str:
    return f"stackyn-i{instance}"


def release_name(deployment: DeploymentId) -> str:
    return f"stackyn-release-d{deployment}"


def builder_name(deployment: DeploymentId) -> str:
    return f"stackyn-build-d{deployment}"


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of one installation; `installation` is its UUID as text."""

    installation: str

    @property
    def short(self) -> str:
        """Eight hexadecimal digits for short names. It is a hash, because time-ordered UUIDs share their beginning."""
        return hashlib.sha256(self.installation.encode()).hexdigest()[:8]

    def keyed_digest(self, text: str) -> str:
        """Return twelve hexadecimal digits of `text` that nobody without the installation's id can compute."""
        return hmac.new(self.installation.encode(), text.encode(), "sha256").hexdigest()[:12]

    def app_container(
        self,
        *,
        tenant: UserId,
        app: AppId,
        deployment: DeploymentId | None,
        release: ReleaseId,
        instance: InstanceId | None,
        role: Role = Role.APP,
    ) -> dict[str, str]:
        """Return all keys: a container inherits a missing one from its image. A release command has no `instance`."""
        return {
            INSTALLATION: self.installation,
            TENANT: str(tenant),
            APP: str(app),
            DEPLOYMENT: "" if deployment is None else str(deployment),
            RELEASE: str(release),
            INSTANCE: "" if instance is None else str(instance),
            ROLE: role.value,
        }

    def ingress_container(self, specification_digest: str) -> dict[str, str]:
        return {INSTALLATION: self.installation, ROLE: Role.INGRESS.value, WANTED: specification_digest}

    def builder_container(
        self, *, tenant: UserId, app: AppId | None, deployment: DeploymentId
    ) -> dict[str, str]:
        """`app` is None for a base image."""
        return {
            INSTALLATION: self.installation,
            TENANT: str(tenant),
            APP: "" if app is None else str(app),
            DEPLOYMENT: str(deployment),
            ROLE: Role.BUILDER.value,
        }

    def cache_volume(self, tenant: UserId, place: int) -> dict[str, str]:
        return {
            INSTALLATION: self.installation,
            TENANT: str(tenant),
            PLACE: str(place),
            ROLE: Role.BUILD_CACHE.value,
        }

    def cache_name(self, tenant: UserId, place: int) -> str:
        return f"stackyn-{self.short}-cache-{tenant}-{place}"

    def network(self, role: Role) -> dict[str, str]:
        return {INSTALLATION: self.installation, ROLE: role.value}

    def app_image(self, app: AppId, deployment: DeploymentId) -> dict[str, str]:
        return {
            IMAGE_INSTALLATION: self.installation,
            IMAGE_APP: str(app),
            IMAGE_DEPLOYMENT: str(deployment),
            IMAGE_ROLE: Role.APP.value,
        }

    def ingress_image(self) -> dict[str, str]:
        return {IMAGE_INSTALLATION: self.installation, IMAGE_ROLE: Role.INGRESS.value}

    def sealed_name(self, name: str) -> str:
        """Return a name that other containers can't guess: the engine tells everyone on a network the address of a
        container whose name they know."""
        return f"{name}-{self.keyed_digest(name)}"

    def spare_name(self, name: str) -> str:
        """Return the name to use where another installation on the same engine has `name`."""
        return f"{name}-{self.short}"

    @property
    def ingress_name(self) -> str:
        return f"stackyn-ingress-{self.short}"

    def owns_container(self, name: str, labels: Mapping[str, str]) -> bool:
        """`name` is without the slash that begins it in the engine's answers."""
        if labels.get(INSTALLATION) != self.installation:
            return False
        if labels.get(ROLE) == Role.INGRESS:
            return name.startswith(self.ingress_name)
        pattern, key = _NAMES.get(labels.get(ROLE, ""), (_APP_NAME, INSTANCE))
        match = pattern.fullmatch(name)
        if match is None or match[1] != labels.get(key):
            return False
        sealed = self.sealed_name(name.removesuffix(f"-{match[2]}"))
        return match[2] in (None, self.short) or name == sealed  # names of earlier releases had no seal

    def owns_volume(self, name: str, labels: Mapping[str, str]) -> bool:
        return labels.get(INSTALLATION) == self.installation and name.startswith(
            f"stackyn-{self.short}-cache-"
        )

    def owns_network(self, labels: Mapping[str, str]) -> bool:
        return labels.get(INSTALLATION) == self.installation

    def owns_image(self, labels: Mapping[str, str]) -> bool:
        return labels.get(IMAGE_INSTALLATION) == self.installation

    def object_filter(self) -> dict[str, list[str]]:
        """Return the `filters` for listing containers, networks or volumes. Check the answer with `owns_…`."""
        return {"label": [f"{INSTALLATION}={self.installation}"]}

    def image_filter(self) -> dict[str, list[str]]:
        return {"label": [f"{IMAGE_INSTALLATION}={self.installation}"]}
