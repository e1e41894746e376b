"""Is the proxy serving what was published? Asked over every entry point, of the marker and of each changed host."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from stackyn_server.domain.failures import Failure, FailureCode, TransientFailure
from stackyn_server.domain.ids import InstanceId
from stackyn_server.ingress import proxy_client
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.render_context import PublicationId, RenderContext

_ANSWER = re.compile(r"http://stackyn\.internal/(?:(\d{1,19})/)?(\d{1,19})-(\d{1,19})", re.ASCII)
_REDIRECTS = (301, 302, 307, 308)
_FIRST_PAUSE_SECONDS, _PAUSE_GROWTH, _LONGEST_PAUSE_SECONDS = 0.01, 1.3, 0.25
_ANSWER_SECONDS = 2.0
_AT_ONCE = 16  # questions under way at a time


class NotConfirmed(TransientFailure):
    """The proxy did not serve the new routes in time; `failure` says which entry point answered what for which host."""

    def __init__(self, complaint: str, more: str = "") -> None:
        self.complaint = complaint
        super().__init__(
            Failure(
                FailureCode.SWITCH_FAILED,
                f"The new route could not be confirmed: {complaint}.",
                "Nothing was switched off. It is tried again; if it goes on, the server's operator must look at the "
                "proxy with `stackyn doctor`.",
                more,
            )
        )


@dataclass(frozen=True, slots=True)
class _Question:
    """`instance` must answer; 0 is this server itself, None means nobody may."""

    entry_point: EntryPoint
    host: str
    path: str
    instance: int | None
    publication: PublicationId
    is_marker: bool = False


class Confirmation:
    """Asks until everything is answered as it must be. Holds the complaint that is still open meanwhile."""

    def __init__(
        self, context: RenderContext, publication: PublicationId, source_address: IPv4Address | None = None
    ) -> None:
        self._context = context
        self._source_address = source_address
        self._publication = publication
        self._complaints: dict[_Question, str] = {}
        self._has_tls = any(entry_point.tls for entry_point in context.entry_points)
        self._places = asyncio.Semaphore(_AT_ONCE)

    @property
    def complaints(self) -> list[str]:
        return [
            f"entry point `{question.entry_point.name}` {complaint}"
            for question, complaint in self._complaints.items()
        ]

    async def wait(self, changed: Mapping[str, InstanceId | None]) -> None:
        """Return when every entry point serves the publication, and `changed` as it says. Goes on without end."""
        async with asyncio.TaskGroup() as group:
            for entry_point in self._context.entry_points:
                group.create_task(
                    self._entry_point(entry_point, changed), name=f"ingress.confirm.{entry_point.name}"
                )

    async def _entry_point(self, entry_point: EntryPoint, changed: Mapping[str, InstanceId | None]) -> None:
        marker = _Question(
            entry_point, self._context.marker_host, "/", None, self._publication, is_marker=True
        )
        await self._until_satisfied(marker)
        async with asyncio.TaskGroup() as group:
            for host, instance in changed.items():
                question = _Question(
                    entry_point, host, self._context.confirm_path, instance, self._publication
                )
                group.create_task(self._until_satisfied(question), name=f"ingress.confirm.{host}")

    async def _until_satisfied(self, question: _Question) -> None:
        self._complaints[question] = "was not asked yet"
        for pause in _pauses():
            async with self._places:
                complaint = await self._complaint(question)
            if complaint is None:
                del self._complaints[question]
                return
            self._complaints[question] = complaint
            await asyncio.sleep(pause)  # the proxy announces nothing: it can only be asked again

    async def _complaint(self, question: _Question) -> str | None:
        try:
            answer = await proxy_client.get(
                question.entry_point,
                question.host,
                question.path,
                timeout=_ANSWER_SECONDS,
                source_address=self._source_address,
            )
        except proxy_client.NoResponse as error:
            return error.message
        if self._is_operators_redirect(question, answer):
            return None
        instance, publication = _read(answer)
        about = "the marker" if question.is_marker else question.host
        if question.is_marker:
            if publication is None:
                return f"does not know {about} of this server: {_described(answer)}"
            return (
                None
                if _reached(publication, question.publication)
                else f"still serves older routes ({about} is behind)"
            )
        if question.instance is None:
            return None if publication is None else f"still answers for {about}, which was withdrawn"
        if publication is None:
            return f"does not serve {about}: {_described(answer)}"
        if instance != question.instance or not _reached(publication, question.publication):
            return f"still answers for {about} with another instance"
        return None

    def _is_operators_redirect(self, question: _Question, answer: proxy_client.ProxyResponse) -> bool:
        """An operator's entry point may redirect everything to HTTPS; then its TLS entry point has to answer."""
        return (
            self._has_tls
            and not question.entry_point.tls
            and answer.status in _REDIRECTS
            and answer.location.startswith(f"https://{question.host}")
        )


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE_SECONDS)


def _read(answer: proxy_client.ProxyResponse) -> tuple[int | None, PublicationId | None]:
    found = _ANSWER.fullmatch(answer.location) if answer.status in _REDIRECTS else None
    if found is None:
        return None, None
    instance, epoch, number = found.groups()
    return (int(instance) if instance else None), PublicationId(int(epoch), int(number))


def _reached(served: PublicationId, wanted: PublicationId) -> bool:
    return served.epoch == wanted.epoch and served.number >= wanted.number


def _described(answer: proxy_client.ProxyResponse) -> str:
    """Say what a status means, without its number: clients take some numbers in a text for a signal."""
    if answer.status in _REDIRECTS:
        return "it redirects elsewhere"
    if answer.status == 404:
        return "it answers that there is no such host"
    if 500 <= answer.status < 600:
        return "it answers with an error of its own"
    return "something else answers there"
