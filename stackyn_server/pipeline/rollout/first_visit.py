"""Send one request through the ingress after a switch, and describe the answer in a sentence for the build log."""

from __future__ import annotations

from http import HTTPStatus

from stackyn_server.config import Settings
from stackyn_server.engine.http_probe import ACCEPT, describe_status
from stackyn_server.ingress import proxy_client
from stackyn_server.ingress.driver import Ingress

_SECONDS = 3.0
_LOCATION_LENGTH = 200  # of a redirect's target in the sentence


async def first_visit(ingress: Ingress, settings: Settings, slug: str) -> str | None:
    """Request `/` as a browser would. Returns the sentence, or None where there is no proxy.

    It never fails, because the switch is confirmed already.
    """
    scheme = settings.public.scheme
    by_preference = sorted(ingress.entry_points, key=lambda point: point.tls is not (scheme == "https"))
    if not by_preference:
        return None
    try:
        answer = await proxy_client.get(
            by_preference[0],
            f"{slug}.{settings.public.base_domain}",
            "/",
            timeout=_SECONDS,
            # The second counts where loopback is trusted, as TLS in front of us is.
            headers={"Accept": ACCEPT, "X-Forwarded-Proto": scheme},
        )
    except proxy_client.NoResponse as error:
        return f"Asked for / once, the ingress {error.message}."
    if answer.status >= HTTPStatus.BAD_REQUEST:
        return f"It is live, but its visitors get {describe_status(answer.status)} for /."
    location = "".join(letter for letter in answer.location if letter.isprintable())[:_LOCATION_LENGTH]
    leads_to = f", which leads to {location}" if location else ""
    return f"Its visitors get {describe_status(answer.status)} for /{leads_to}."
