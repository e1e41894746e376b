"""Who holds a bearer token, whatever kind of token it is."""

from __future__ import annotations

from stackyn_server.errors import SignInRequired
from stackyn_server.services.api_tokens import PREFIX, ApiTokens
from stackyn_server.services.sessions import Caller, Sessions


class Identity:
    """Tells the kinds of tokens apart by their form."""

    def __init__(self, sessions: Sessions, api_tokens: ApiTokens) -> None:
        self._sessions = sessions
        self._api_tokens = api_tokens

    async def identify(self, token: str) -> Caller:
        """Raises `SignInRequired`."""
        if token.startswith(PREFIX):
            caller = await self._api_tokens.identify(token)
            if caller is None:
                raise SignInRequired("This access token is not valid here.", hint="Make a new one.")
            return caller
        return await self._sessions.identify(token)
