"""Checks whether browsers keep the cookies of apps apart: whether `base_domain` is on the Public Suffix List."""

from __future__ import annotations

from stackyn_server.cli.findings import Finding, Severity
from stackyn_server.config import PublicSettings

_HINT = (
    "Have it added to the list, in its private section (https://publicsuffix.org/submit/), or serve apps of people who "
    "don't trust each other on a domain of their own. SECURITY.md says what it means."
)


def check_cookies(public: PublicSettings) -> list[Finding]:
    """Blocking: the list is read from a package."""
    if public.is_local:
        return [Finding("cookies", Severity.FINE, f"{public.base_domain} stays on this machine.")]
    if is_public_suffix(public.base_domain):
        sentence = f"{public.base_domain} is on the Public Suffix List: apps get no cookies of each other."
        return [Finding("cookies", Severity.FINE, sentence)]
    sentence = (
        f"{public.base_domain} is not on the Public Suffix List: an app can set cookies for {public.base_domain}, "
        f"which browsers send to all apps and to the API."
    )
    return [Finding("cookies", Severity.WARNING, sentence, _HINT)]


def is_public_suffix(domain: str) -> bool:
    """Return whether each name directly below `domain` is a site of its own to browsers."""
    from publicsuffixlist import PublicSuffixList  # 15 ms, for the doctor alone

    name = domain.rstrip(".").lower()
    return PublicSuffixList(accept_unknown=False).publicsuffix(name) == name
