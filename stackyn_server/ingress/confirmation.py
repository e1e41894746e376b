"""Confirms that the proxy serves a publication: requests the marker host and each changed host on every entry point."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from stackyn_server.domain.failures import Failure, FailureCode, TransientFailure
from stackyn_server.domain.ids import InstanceId
from stackyn_server.ingress import proxy_client
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.render_context import PublicationId, RenderContext
from stackyn_server.pause import Pause

_ANSWER = re.compile(r"http://stackyn\.internal/(?:(\d{1,19})/)?(\d{1,19})-(\d{1,19})", re.ASCII)
_REDIRECTS = (301, 302, 307, 308)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _PAUSE_GROWTH = 0.01, 0.25, 1.3
_ANSWER_SECONDS = 2.0
_AT_ONCE = 16  # concurrent requests


class NotConfirmed(TransientFailure):
    """The proxy did not serve the new routes in time; `failure` names the entry point, the host and the response."""

    def __init__(self, complaint: str, evidence: str = "") -> None:
        self.complaint = complaint
        super().__init__(
            Failure(
                FailureCode.SWITCH_FAILED,
                f"The new route could not be confirmed: {complaint}.",
                "Nothing was switched off. It is tried again; if it goes on, the server's operator must look at the "
                "proxy with `stackyn doctor`.",
                evidence,
            )
        )


@dataclass(frozen=True, slots=True)
class _Check:
    """The route to `instance` must answer; 0 is this server itself, None means that no route may answer."""

    entry_point: EntryPoint
    host: str
    path: str
    instance: int | None
    publication: PublicationId
    is_marker: bool = False


class Confirmation:
    """Repeats each check until it passes; `complaints` says why the open checks have not passed yet."""

    def __init__(
        self, context: RenderContext, publication: PublicationId, source_address: IPv4Address | None = None
    ) -> None:
        self._context = context
        self._source_address = source_address
        self._publication = publication
        self._complaints: dict[_Check, str] = {}
        self._has_tls = any(entry_point.tls for entry_point in context.entry_points)
        self._semaphore = asyncio.Semaphore(_AT_ONCE)

    @property
    def complaints(self) -> list[str]:
        return [
            f"entry point `{check.entry_point.name}` {complaint}"
            for check, complaint in self._complaints.items()
        ]

    async def ask_marker(self, entry_point: EntryPoint, times: int) -> list[str]:
        """Ask for the marker on `times` new connections at the same time; return the complaints of those that failed.

        Two proxies on one port share new connections by chance.
        """
        marker = self._marker(entry_point)
        answers = await asyncio.gather(*(self._complaint(marker) for _ in range(times)))
        return [complaint for complaint in answers if complaint is not None]

    async def wait(self, changed: Mapping[str, InstanceId | None]) -> None:
        """Return when every entry point serves the publication and each host of `changed`. Has no timeout."""
        async with asyncio.TaskGroup() as group:
            for entry_point in self._context.entry_points:
                group.create_task(
                    self._entry_point(entry_point, changed), name=f"ingress.confirm.{entry_point.name}"
                )

    async def _entry_point(self, entry_point: EntryPoint, changed: Mapping[str, InstanceId | None]) -> None:
        await self._repeat_until_passed(self._marker(entry_point))
        async with asyncio.TaskGroup() as group:
            for host, instance in changed.items():
                check = _Check(entry_point, host, self._context.confirm_path, instance, self._publication)
                group.create_task(self._repeat_until_passed(check), name=f"ingress.confirm.{host}")

    def _marker(self, entry_point: EntryPoint) -> _Check:
        return _Check(entry_point, self._context.marker_host, "/", None, self._publication, is_marker=True)

    async def _repeat_until_passed(self, check: _Check) -> None:
        self._complaints[check] = "was not asked yet"
        pause = Pause(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _PAUSE_GROWTH)
        while True:
            async with self._semaphore:
                complaint = await self._complaint(check)
            if complaint is None:
                del self._complaints[check]
                return
            self._complaints[check] = complaint
            await pause.wait()  # Traefik sends no event when it has read its file

    async def _complaint(self, check: _Check) -> str | None:
        try:
            response = await proxy_client.get(
                check.entry_point,
                check.host,
                check.path,
                timeout=_ANSWER_SECONDS,
                source_address=self._source_address,
            )
        except proxy_client.NoResponse as error:
            return error.message
        if self._is_operators_redirect(check, response):
            return None
        instance, publication = _read(response)
        if check.is_marker:
            if publication is None:
                return f"does not know the marker of this server: {_described(response)}"
            is_reached = _reached(publication, check.publication)
            return None if is_reached else "still serves older routes (the marker is behind)"
        if check.instance is None:
            return None if publication is None else f"still answers for {check.host}, which was withdrawn"
        if publication is None:
            return f"does not serve {check.host}: {_described(response)}"
        if instance != check.instance or not _reached(publication, check.publication):
            return f"still answers for {check.host} with another instance"
        return None

    def _is_operators_redirect(self, check: _Check, response: proxy_client.ProxyResponse) -> bool:
        """An operator's plain entry point may redirect everything to HTTPS; the TLS one is checked anyway."""
        return (
            self._has_tls
            and not check.entry_point.tls
            and response.status in _REDIRECTS
            and response.location.startswith(f"https://{check.host}")
        )


def _read(response: proxy_client.ProxyResponse) -> tuple[int | None, PublicationId | None]:
    match = _ANSWER.fullmatch(response.location) if response.status in _REDIRECTS else None
    if match is None:
        return None, None
    instance, epoch, number = match.groups()
    return (int(instance) if instance else None), PublicationId(int(epoch), int(number))


def _reached(served: PublicationId, publication: PublicationId) -> bool:
    return served.epoch == publication.epoch and served.number >= publication.number


def _described(response: proxy_client.ProxyResponse) -> str:
    """Describe a status without its number: clients search texts for some numbers."""
    if response.status in _REDIRECTS:
        return "it redirects elsewhere"
    if response.status == 404:
        return "it answers that there is no such host"
    if 500 <= response.status < 600:
        return "it answers with an error of its own"
    return "something else answers there"
