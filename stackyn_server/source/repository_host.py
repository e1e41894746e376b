"""Find the address of a repository's host that git may connect to."""

from __future__ import annotations

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.outbound.host_vetting import (
    Address,
    HostRefused,
    HostSilent,
    HostUnresolved,
    first_reachable,
    vet_host,
)
from stackyn_server.source.repository_url import RepositoryUrl


async def reach_host(settings: SourceSettings, url: RepositoryUrl) -> Address:
    """Resolve and vet the host, and choose an address that accepts connections.

    Raises `DeploymentFailed` when all addresses are internal (SOURCE_REFUSED), or when the name does not exist
    (SOURCE_UNREACHABLE), and `TransientFailure` (SOURCE_UNREACHABLE) when the resolver or the host fails.
    """
    try:
        return await first_reachable(
            settings, url.host, url.port, await vet_host(settings, url.host, url.port)
        )
    except HostRefused as error:
        raise DeploymentFailed.of(
            FailureCode.SOURCE_REFUSED,
            f"The repository's host {url.host} leads to a private or internal address, which is not allowed.",
            "Use a repository on a public address, or ask the operator of this server to allow its network.",
        ) from error
    except HostUnresolved as error:
        kind = TransientFailure if error.is_passing else DeploymentFailed
        raise kind.of(
            FailureCode.SOURCE_UNREACHABLE,
            f"The repository's host name {url.host} can't be resolved.",
            "Check the spelling of the repository URL, then deploy again.",
            f"{url.host}: {error.reason}",
        ) from error
    except HostSilent as error:
        raise TransientFailure.of(
            FailureCode.SOURCE_UNREACHABLE,
            f"The repository's host {url.host} does not accept connections on port {url.port}.",
            "Check the repository URL and whether its host is up, then deploy again.",
            error.evidence,
        ) from error
