"""Whether browsers keep the cookies of apps apart."""

from __future__ import annotations

import pytest

from stackyn_server.cli.cookies import check_cookies
from stackyn_server.cli.findings import Severity
from stackyn_server.config import PublicSettings


@pytest.mark.parametrize(
    ("domain", "severity"),
    [
        ("localhost", Severity.FINE),
        ("apps.test", Severity.FINE),
        ("github.io", Severity.FINE),  # in the list's private section
        ("co.uk", Severity.FINE),
        ("example.com", Severity.WARNING),
        ("apps.example.com", Severity.WARNING),
        ("mine.github.io", Severity.WARNING),
        ("apps.unknown-ending", Severity.WARNING),
    ],
)
def test_a_domain_off_the_public_suffix_list_is_a_warning(domain: str, severity: Severity) -> None:
    (finding,) = check_cookies(PublicSettings(base_domain=domain))

    assert finding.severity is severity
    assert domain in finding.sentence
    assert bool(finding.hint) is (severity is Severity.WARNING)
