"""Finds who holds a bearer token of any kind: session, API token or Firebase."""

from __future__ import annotations

from stackyn_server.errors import SignInRequired
from stackyn_server.services.api_tokens import PREFIX, ApiTokens
from stackyn_server.services.firebase_accounts import FirebaseAccounts
from stackyn_server.services.sessions import Caller, Sessions


class Identity:
    """Tells the kinds of token apart by their form."""

    def __init__(
        self, sessions: Sessions, api_tokens: ApiTokens, firebase_accounts: FirebaseAccounts
    ) -> None:
        self._sessions = sessions
        self._api_tokens = api_tokens
        self._firebase_accounts = firebase_accounts

    def is_ours(self, token: str) -> bool:
        """Say whether this server signed the token. Asks no database."""
        return self._sessions.is_ours(token)

    async def identify(self, token: str) -> Caller:
        """Raises `SignInRequired`."""
        if token.startswith(PREFIX):
            caller = await self._api_tokens.identify(token)
            if caller is None:
                raise SignInRequired("This access token is not valid here.", hint="Make a new one.")
            return caller
        if self._firebase_accounts.is_for_us(token):
            return await self._firebase_accounts.identify(token)
        return await self._sessions.identify(token)
