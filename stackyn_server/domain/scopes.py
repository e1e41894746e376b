"""What a bearer token may do: in a session all that its account may, as an API token what it was made for."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What an endpoint asks of a token, besides the rights of its account. No scope includes another one."""

    READ = "read"  # look, but not at the values of variables
    DEPLOY = "deploy"  # change apps, their variables included
    ADMIN = "admin"  # what administrators may
    SESSION = "session"  # passwords, tokens and credentials: no API token ever has it


OF_TOKENS = (Scope.READ, Scope.DEPLOY, Scope.ADMIN)
OF_TOKENS_BY_DEFAULT = (Scope.READ, Scope.DEPLOY)
OF_SESSIONS = frozenset(Scope)
