"""Is the proxy serving what was published? Asked over every entry point, of the marker and of each changed host."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from stackyn_server.domain.failures import Failure, FailureCode, TransientFailure
from stackyn_server.domain.ids import InstanceId
from stackyn_server.ingress import dial
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.frame import Frame, Mark

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
    mark: Mark
    is_marker: bool = False


class Confirmation:
    """Asks until everything is answered as it must be. Holds the complaint that is still open meanwhile."""

    def __init__(self, frame: Frame, mark: Mark, come_from: IPv4Address | None = None) -> None:
        self._frame = frame
        self._come_from = come_from
        self._mark = mark
        self._complaints: dict[_Question, str] = {}
        self._has_tls = any(entry_point.tls for entry_point in frame.entry_points)
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
            for entry_point in self._frame.entry_points:
                group.create_task(
                    self._entry_point(entry_point, changed), name=f"ingress.confirm.{entry_point.name}"
                )

    async def _entry_point(self, entry_point: EntryPoint, changed: Mapping[str, InstanceId | None]) -> None:
        marker = _Question(entry_point, self._frame.marker_host, "/", None, self._mark, is_marker=True)
        await self._until_satisfied(marker)
        async with asyncio.TaskGroup() as group:
            for host, instance in changed.items():
                question = _Question(entry_point, host, self._frame.confirm_path, instance, self._mark)
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
            answer = await dial.ask(
                question.entry_point,
                question.host,
                question.path,
                timeout=_ANSWER_SECONDS,
                come_from=self._come_from,
            )
        except dial.NoAnswer as error:
            return error.message
        if self._is_operators_redirect(question, answer):
            return None
        instance, mark = _read(answer)
        about = "the marker" if question.is_marker else question.host
        if question.is_marker:
            if mark is None:
                return f"does not know {about} of this server: {_described(answer)}"
            return None if _reached(mark, question.mark) else f"still serves older routes ({about} is behind)"
        if question.instance is None:
            return None if mark is None else f"still answers for {about}, which was withdrawn"
        if mark is None:
            return f"does not serve {about}: {_described(answer)}"
        if instance != question.instance or not _reached(mark, question.mark):
            return f"still answers for {about} with another instance"
        return None

    def _is_operators_redirect(self, question: _Question, answer: dial.Answer) -> bool:
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


def _read(answer: dial.Answer) -> tuple[int | None, Mark | None]:
    found = _ANSWER.fullmatch(answer.location) if answer.status in _REDIRECTS else None
    if found is None:
        return None, None
    instance, epoch, number = found.groups()
    return (int(instance) if instance else None), Mark(int(epoch), int(number))


def _reached(served: Mark, wanted: Mark) -> bool:
    return served.epoch == wanted.epoch and served.number >= wanted.number


def _described(answer: dial.Answer) -> str:
    """Say what a status means, without its number: clients take some numbers in a text for a signal."""
    if answer.status in _REDIRECTS:
        return "it redirects elsewhere"
    if answer.status == 404:
        return "it answers that there is no such host"
    if 500 <= answer.status < 600:
        return "it answers with an error of its own"
    return "something else answers there"
