"""Ownership: what is ours, and what only pretends to be."""

from __future__ import annotations

import uuid

import pytest

from stackyn_server.domain.ids import AppId, DeploymentId, InstanceId, ReleaseId, UserId
from stackyn_server.engine import labels as keys
from stackyn_server.engine.labels import Labels, Role, release_name

OURS, OTHERS = Labels("0c0f4f2e-0000-7000-8000-000000000001"), Labels("0c0f4f2e-0000-7000-8000-000000000002")


def of_instance(labels: Labels, instance: int) -> dict[str, str]:
    return labels.app_container(
        tenant=UserId(uuid.uuid4()),
        app=AppId(1),
        deployment=None,
        release=ReleaseId(3),
        instance=InstanceId(instance),
    )


def of_command(labels: Labels, deployment: int) -> dict[str, str]:
    return labels.app_container(
        tenant=UserId(uuid.uuid4()),
        app=AppId(1),
        deployment=DeploymentId(deployment),
        release=ReleaseId(3),
        instance=None,
        role=Role.RELEASE_COMMAND,
    )


@pytest.mark.parametrize(
    ("name", "labels", "owned"),
    [
        ("stackyn-i7", of_instance(OURS, 7), True),
        (OURS.spare_name("stackyn-i7"), of_instance(OURS, 7), True),
        (OURS.sealed_name("stackyn-i7"), of_instance(OURS, 7), True),
        (OTHERS.sealed_name("stackyn-i7"), of_instance(OURS, 7), False),
        (OURS.sealed_name("stackyn-i8"), of_instance(OURS, 7), False),
        (OURS.sealed_name(release_name(DeploymentId(7))), of_command(OURS, 7), True),
        ("stackyn-i8", of_instance(OURS, 7), False),
        ("eager_hopper", of_instance(OURS, 7), False),
        ("stackyn-i7", of_instance(OTHERS, 7), False),
        (OTHERS.spare_name("stackyn-i7"), of_instance(OURS, 7), False),
        ("stackyn-i7", {}, False),
        (OURS.ingress_name, OURS.ingress_container("x"), True),
        ("eager_hopper", OURS.ingress_container("x"), False),
        (release_name(DeploymentId(7)), of_command(OURS, 7), True),
        (OURS.spare_name(release_name(DeploymentId(7))), of_command(OURS, 7), True),
        (release_name(DeploymentId(8)), of_command(OURS, 7), False),
        ("stackyn-i7", of_command(OURS, 7), False),
    ],
    ids=[
        "ours of an earlier release", "spare-name", "ours", "their-sealed-name", "sealed-name-of-another",
        "sealed-command", "name-of-another", "label-from-an-image", "another-installation",
        "their-spare-name", "no-labels", "ingress", "ingress-label-from-an-image",
        "command", "spare-name-of-a-command", "name-of-another-command", "command-named-like-an-instance",
    ],
)  # fmt: skip
def test_a_container_is_ours_by_labels_and_name_together(
    name: str, labels: dict[str, str], owned: bool
) -> None:
    assert OURS.owns_container(name, labels) is owned


def test_every_label_is_set_so_none_is_inherited() -> None:
    every = {
        keys.INSTALLATION, keys.TENANT, keys.APP, keys.DEPLOYMENT, keys.RELEASE, keys.INSTANCE, keys.ROLE,
    }  # fmt: skip
    assert set(of_instance(OURS, 7)) == set(of_command(OURS, 7)) == every


def test_installations_of_one_minute_have_different_short_names() -> None:
    assert OURS.short != OTHERS.short


def test_a_sealed_name_needs_the_installation() -> None:
    assert OURS.keyed_digest("1/2") != OTHERS.keyed_digest("1/2")
    assert OURS.keyed_digest("1/2") != OURS.keyed_digest("1/3")
    assert OURS.short not in OURS.keyed_digest("1/2")
