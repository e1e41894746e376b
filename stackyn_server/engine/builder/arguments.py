"""The arguments of `buildctl` for a build, and the tar that carries them into the container. Pure."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence

from stackyn_server.domain.registries import DOCKER_HUB_NAMES
from stackyn_server.engine.builder.request import BuildRequest

_CONTEXT = "work/context"
_SECRETS = "work/control/secrets"
# Forced: otherwise layers of images from registries stay compressed, and compressed layers are refused.
_OUTPUT = "type=oci,dest=out,tar=false,compression=uncompressed,force-compression=true"
_BUILT_IN = "docker/dockerfile"  # the repository of the frontend that is built into the daemon


def arguments(request: BuildRequest, base_images: Mapping[str, str], *, has_registry: bool) -> list[str]:
    """Return the arguments of `buildctl`. `base_images`: name → digest of its manifest in the layout at `/oci`.

    "host" is the container's network. Steps share it in any mode, but only this mode gives them its name server, which
    has a loopback address on our networks.
    """
    options = {"filename": request.dockerfile, "force-network-mode": "host"}
    if request.target is not None:
        options["target"] = request.target
    if request.hostname:
        options["hostname"] = request.hostname
    if request.no_cache:
        options["no-cache"] = ""
    if not has_registry and uses_built_in_frontend(request.syntax, has_registry=False):
        # Any value makes the daemon use its own frontend instead of asking a registry for the one that is named.
        options["cmdline"] = request.syntax or _BUILT_IN
    options |= {f"build-arg:{name}": value for name, value in request.build_arguments.items()}
    options |= {
        f"context:{name}": f"oci-layout://base@{digest}" for name, digest in sorted(base_images.items())
    }
    return [
        *("build", "--progress=rawjson", "--frontend", "dockerfile.v0", "--allow", "network.host"),
        *("--local", f"context={_CONTEXT}", "--local", f"dockerfile={_CONTEXT}"),
        *(word for name, value in options.items() for word in ("--opt", f"{name}={value}")),
        *(word for id_ in request.secrets for word in ("--secret", f"id={id_},src={_SECRETS}/{id_}")),
        *(("--oci-layout", "base=/oci") if base_images else ()),
        *("--output", _OUTPUT),
    ]


def uses_built_in_frontend(syntax: str, *, has_registry: bool) -> bool:
    """Return whether the daemon's own frontend reads a Dockerfile that names `syntax`. Without a registry, it replaces
    all versions of the usual frontend."""
    if not syntax:
        return True
    repository = syntax.partition("@")[0]
    for name in DOCKER_HUB_NAMES:
        repository = repository.removeprefix(f"{name}/")
    return not has_registry and repository.partition(":")[0] == _BUILT_IN


def daemon_configuration(architecture: str, keep_mb: int) -> str:
    """Return the part of `buildkitd.toml` that every build has. An older cache is reduced to `keep_mb`."""
    return (
        'insecure-entitlements = ["network.host"]\n'
        "[worker.oci]\n"
        f'platforms = ["linux/{architecture}"]\n'  # else the daemon tests at each start which others it can emulate
        "gc = true\n"
        f'maxUsedSpace = "{keep_mb}MB"\n'
        "[worker.containerd]\n"
        "enabled = false\n"
        "[history]\n"
        "maxEntries = 1\n"
    )


def control_tar(words: Sequence[str], configuration: str, request: BuildRequest) -> bytes:
    """Return the first tar of a build's input, after the line with its size."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in _members(words, configuration, request):
            member = tarfile.TarInfo(f"control/{path}")
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    content = buffer.getvalue()
    return b"%d\n%b" % (len(content), content)


def _members(words: Sequence[str], configuration: str, request: BuildRequest) -> Iterator[tuple[str, bytes]]:
    yield "buildkitd.toml", configuration.encode()
    yield "arguments", b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)
    if request.docker_config:
        yield "docker/config.json", request.docker_config.encode()
    for id_, secret in request.secrets.items():
        yield f"secrets/{id_}", secret
