"""Start commands become the container's first process, so that signals reach the app."""

from __future__ import annotations

from stackyn_server.buildplan.settings.start_command import as_cmd


def test_quotes_and_backslashes_survive_in_the_dockerfile() -> None:
    assert as_cmd('serve "a b" \\$x é') == 'CMD ["sh", "-c", "exec serve \\"a b\\" \\\\$x é"]'
