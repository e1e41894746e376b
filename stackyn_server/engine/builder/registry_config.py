"""What a builder is told of image registries: mirrors, which speak plain HTTP, and who signs in. Pure.

https://github.com/moby/buildkit/blob/master/docs/buildkitd.toml.md
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence

from stackyn_server.domain.registries import DOCKER_HUB, RegistryCredential

# As Docker has always written it, in its own file of credentials.
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"


def registry_tables(mirrors: Mapping[str, Sequence[str]], plain_http: Iterable[str]) -> str:
    """Return the tables of `buildkitd.toml` for registries. A mirror is `host[:port][/path]`; it is asked first, and
    the registry itself when it doesn't have an image. A mirror that speaks plain HTTP is in `plain_http` too."""
    plain = frozenset(plain_http)
    return "".join(
        _table(host, mirrors.get(host, ()), host in plain) for host in sorted(plain.union(mirrors))
    )


def docker_config(credentials: Iterable[RegistryCredential]) -> str:
    """Return the `config.json` of Docker with these credentials, "" without any. It is a secret.

    Each is used for exactly its host, with its port; of two for one host the later one.
    """
    entries = {
        _DOCKER_HUB_KEY if credential.host == DOCKER_HUB else credential.host: {"auth": _basic(credential)}
        for credential in credentials
    }
    return json.dumps({"auths": entries}) if entries else ""


def _table(host: str, mirrors: Sequence[str], is_plain: bool) -> str:
    # A string of JSON is one of TOML as well, for what a host is written with.
    lines = [f"[registry.{json.dumps(host)}]"]
    if mirrors:
        lines.append(f"mirrors = {json.dumps(list(mirrors))}")
    if is_plain:
        lines.append("http = true")
    return "\n".join(lines) + "\n"


def _basic(credential: RegistryCredential) -> str:
    return base64.b64encode(f"{credential.user}:{credential.password}".encode()).decode()
