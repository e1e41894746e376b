"""Personal API tokens of the caller."""

from __future__ import annotations

from stackyn_server.api.services import Services
from stackyn_server.api.wire.tokens import MadeToken, NewToken, Token
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.scopes import OF_TOKENS_BY_DEFAULT
from stackyn_server.services.api_tokens import TokenRequest
from stackyn_server.services.sessions import Caller


async def list_tokens(services: Services, caller: Caller) -> list[Token]:
    """Return the caller's tokens, newest first, without their secrets."""
    return [Token.from_view(row) for row in await services.api_tokens.list(caller)]


async def create(services: Services, caller: Caller, body: NewToken) -> MadeToken:
    """Make a token; its secret is in this answer only."""
    wanted = TokenRequest(
        body.name,
        OF_TOKENS_BY_DEFAULT if body.scopes is None else body.scopes,
        None if body.app_id is None else AppId(body.app_id),
        body.days,
    )
    new_token = await services.api_tokens.create(caller, wanted, body.current_password)
    return MadeToken(**Token.from_view(new_token.row).model_dump(), token=new_token.token)


async def delete(services: Services, caller: Caller, token: int) -> None:
    """Delete a token; it stops working at once."""
    await services.api_tokens.delete(caller, token)
