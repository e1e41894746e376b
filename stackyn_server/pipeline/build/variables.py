"""An app's variables in its build: they are secrets of the build, and a change of a value invalidates its cache.

A generated Dockerfile has the variables in the environment of its installation and build steps. A Dockerfile of the
repository mounts the variables that it wants, and gets those that it declares with ARG. BuildKit's cache keys contain
the host name of a step, so a changed variable gives all steps another host name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.build_variables import with_variables
from stackyn_server.buildplan.versions.other_host_versions import VERSION_VARIABLES
from stackyn_server.domain.ids import UserId

_NAMES_SHOWN = 5
_OF_HOSTS = ("RAILPACK_", "NIXPACKS_")
_DIGITS = 32
# The platform sets its own value, and nothing listens in a build.
_NEVER_TOLD = frozenset(("PORT",))
# Arguments with this prefix are options of the builder, not values for the Dockerfile.
_ORDERS = "BUILDKIT_"
# Frontends that give their steps a host name: the usual one since version 1.2.
_NAMES_HOSTS = re.compile(r"(?:docker\.io/)?docker/dockerfile(?::(?:1|latest|1\.(?:[2-9]|\d\d)[^@]*))?")


@dataclass(frozen=True, slots=True)
class BuildVariables:
    """`digest` identifies all names and values without revealing them; it is empty without variables."""

    values: Mapping[str, str] = field(repr=False)
    digest: str

    @classmethod
    def of(cls, variables: Mapping[str, str], *, tenant: UserId, key: bytes) -> BuildVariables:
        values = {name: value for name, value in sorted(variables.items()) if name not in _NEVER_TOLD}
        if not values:
            return cls({}, "")
        text = json.dumps([str(tenant), values]).encode()
        return cls(values, hmac.new(key, text, hashlib.sha256).hexdigest()[:_DIGITS])

    @property
    def of_hosts(self) -> dict[str, str]:
        """The variables that tell another host how to build. Their values are not secret."""
        return {
            name: value
            for name, value in self.values.items()
            if name.startswith(_OF_HOSTS) or name in VERSION_VARIABLES
        }


@dataclass(frozen=True, slots=True)
class InjectedVariables:
    """How a build gets them: the plan to build by, context of its request, and a sentence for its log.

    `digest` is empty where the variables make no difference to the image.
    """

    plan: BuildPlan
    digest: str = ""
    sentence: str = ""
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    arguments: Mapping[str, str] = field(default_factory=dict, repr=False)
    hostname: str = ""
    no_cache: bool = False


def inject_variables(plan: BuildPlan, variables: BuildVariables) -> InjectedVariables:
    """Decide how the plan's build gets the variables."""
    if not variables.values:
        return InjectedVariables(plan)
    secrets = {name: value.encode() for name, value in variables.values.items()}
    if plan.generated is not None:
        text = with_variables(plan.generated, variables.values, variables.digest)
        if text == plan.generated:
            return InjectedVariables(plan)  # it copies files, and runs nothing
        count = f"{len(secrets)} variable{'s' if len(secrets) != 1 else ''}"
        sentence = f"The installation and the build find the app's {count} in their environment."
        return InjectedVariables(replace(plan, generated=text), variables.digest, sentence, secrets)
    declared = {
        name: variables.values[name]
        for name in plan.arguments
        if name in variables.values and not name.startswith(_ORDERS)
    }
    return InjectedVariables(
        plan,
        variables.digest,
        _sentence(list(declared)),
        secrets,
        declared,
        hostname=f"build-{variables.digest}",
        no_cache=bool(plan.syntax) and _NAMES_HOSTS.fullmatch(plan.syntax) is None,
    )


def _sentence(declared: list[str]) -> str:
    if not declared:
        return (
            "The app's variables are secrets of this build: a step gets one with "
            "`RUN --mount=type=secret,id=NAME,env=NAME …`."
        )
    more = f" and {len(declared) - _NAMES_SHOWN} more" if len(declared) > _NAMES_SHOWN else ""
    return (
        f"The Dockerfile declares {', '.join(declared[:_NAMES_SHOWN])}{more} with ARG: it gets the app's values, which "
        "are then in the image's history and may show in this log. `RUN --mount=type=secret,id=NAME,env=NAME …` keeps "
        "them out."
    )
