"""Repository URLs that are accepted or refused."""

from __future__ import annotations

import pytest

from stackyn_server.config import SourceSettings
from stackyn_server.errors import InvalidRequest
from stackyn_server.source.repository_url import parse_url

DEFAULT = SourceSettings()
LOCAL = SourceSettings(schemes=("https", "http"), allowed_private=("127.0.0.0/8",), stall_seconds=2)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("https://github.com/owner/name", "https://github.com/owner/name"),
        ("  https://GitHub.com/Owner/Name.git/ ", "https://github.com/Owner/Name.git"),
        ("https://host.test:443/a", "https://host.test/a"),
        ("https://host.test:8443/a", "https://host.test:8443/a"),
        ("https://host.test./a/b/c.git", "https://host.test/a/b/c.git"),
        ("HTTPS://host.test/a~b/c+d.git", "https://host.test/a~b/c+d.git"),
        ("https://192.0.2.7/a.git", "https://192.0.2.7/a.git"),
        ("https://[2001:DB8::1]:8443/a.git", "https://[2001:db8::1]:8443/a.git"),
        ("https://xn--bcher-kva.test/a%20b.git", "https://xn--bcher-kva.test/a%20b.git"),
    ],
)
def test_a_repository_url_is_normalised(text: str, normalised: str) -> None:
    assert parse_url(DEFAULT, text).url == normalised


REFUSED = [
    "",
    "github.com/owner/name",
    "http://github.com/owner/name",
    "ssh://git@github.com/owner/name",
    "git@github.com:owner/name.git",
    "git://github.com/owner/name",
    "file:///etc/passwd",
    "ext::sh -c id",
    "/srv/git/name.git",
    "--upload-pack=id",
    "https://",
    "https:///owner/name",
    "https://github.com",
    "https://github.com/",
    "https://user@github.com/owner/name",
    "https://user:secret-401@github.com/owner/name",
    "https://:@github.com/owner/name",
    "https://github.com/owner/name#main",
    "https://github.com/owner/name#",
    "https://github.com/owner/name?x=1",
    "https://github.com/owner/name?",
    "https://github.com:0/owner/name",
    "https://github.com:99999/owner/name",
    "https://github.com:x/owner/name",
    "https://[::1/owner/name",
    "https://[::1%25eth0]/owner/name",
    "https://github.com/owner/../name",
    "https://github.com/owner//name",
    "https://github.com/ow ner/name",
    "https://github.com/owner/na\nme",
    "https://github.com/owner/na\x00me",
    "https://github.com\\@evil.test/name",
    "https://github.com/owner/nämé",
    "https://g\u0131thub.com/owner/name",
    "https://-oProxyCommand/owner",
    "https://127.1/owner/name",
    "https://2130706433/owner/name",
    "https://0x7f.0.0.1/owner/name",
    "https://0x7f000001/owner/name",
    "https://host.test/" + "a" * 2048,
]


@pytest.mark.parametrize("text", REFUSED)
def test_other_urls_are_refused_for_the_form_field(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_url(DEFAULT, text)
    assert (refused.value.code, refused.value.status) == ("INVALID_REQUEST", 400)
    assert refused.value.details == {"field": "repo_url"}
    assert refused.value.message.endswith(".")
    assert "401" not in refused.value.message and "secret" not in refused.value.message


def test_http_is_accepted_only_where_the_operator_allows_it() -> None:
    assert parse_url(LOCAL, "http://127.0.0.1:8000/a.git").port == 8000
