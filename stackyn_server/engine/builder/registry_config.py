"""The builder's configuration of image registries: mirrors, plain HTTP, and credentials. Pure.

https://github.com/moby/buildkit/blob/master/docs/buildkitd.toml.md
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence

from stackyn_server.domain.registries import DOCKER_HUB, RegistryCredential

# The key that Docker uses for Docker Hub in its file of credentials.
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"


def registry_tables(mirrors: Mapping[str, Sequence[str]], plain_http: Iterable[str]) -> str:
    """Return the tables of `buildkitd.toml` for registries. A mirror is `host[:port][/path]`. It is asked first, and
    the registry itself when the mirror lacks an image. A mirror with plain HTTP is in `plain_http` too."""
    plain = frozenset(plain_http)
    return "".join(
        _table(host, mirrors.get(host, ()), host in plain) for host in sorted(plain.union(mirrors))
    )


def docker_config(credentials: Iterable[RegistryCredential]) -> str:
    """Return the `config.json` of Docker with these credentials, "" without any. It is a secret.

    Each credential is used for exactly its host and port. Of two for one host, the later one counts.
    """
    entries = {
        _DOCKER_HUB_KEY if credential.host == DOCKER_HUB else credential.host: {"auth": _basic(credential)}
        for credential in credentials
    }
    return json.dumps({"auths": entries}) if entries else ""


def _table(host: str, mirrors: Sequence[str], is_plain: bool) -> str:
    # With the characters of a host, a JSON string is also a TOML string.
    lines = [f"[registry.{json.dumps(host)}]"]
    if mirrors:
        lines.append(f"mirrors = {json.dumps(list(mirrors))}")
    if is_plain:
        lines.append("http = true")
    return "\n".join(lines) + "\n"


def _basic(credential: RegistryCredential) -> str:
    return base64.b64encode(f"{credential.user}:{credential.password}".encode()).decode()
