from __future__ import annotations

import pytest

from stackyn_server.api.binding import PARSERS, bind
from stackyn_server.api.endpoint import Access, Endpoint
from stackyn_server.api.endpoints import ENDPOINTS
from stackyn_server.api.sentences import sentence
from stackyn_server.api.wire.base import Message
from stackyn_server.api.wire.codes import Code, published
from stackyn_server.domain.ids import AppId
from stackyn_server.errors import NotFound


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_every_handler_fits_its_entry_and_says_what_it_does(endpoint: Endpoint) -> None:
    assert bind(endpoint).response is not None or endpoint.status == 204
    assert endpoint.handler.__doc__


async def stray(app: AppId, stray: str) -> Message: ...  # type: ignore[empty-body]


async def blind() -> Message: ...  # type: ignore[empty-body]


@pytest.mark.parametrize("handler", [stray, blind])
def test_a_handler_that_does_not_fit_its_path_can_not_be_served(handler: object) -> None:
    with pytest.raises(TypeError):
        bind(Endpoint("GET", "/apps/{app}", handler, Access.USER))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "0", "007", "-1", "1.0", "1e3", "\uff19", str(2**63), " 1", "1 "])
def test_what_is_no_id_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        PARSERS[AppId](text)


@pytest.mark.parametrize("word", ["401", "Unauthorized", "UNAUTHORIZED", "expired", "Invalid"])
def test_a_word_that_a_client_acts_on_is_replaced(word: str) -> None:
    message = sentence(Code.NAME_TAKEN, 409, f"You already have an app called {word}.")
    assert word not in message and message.endswith(".")


def test_only_codes_may_be_said_to_be_expired_or_invalid() -> None:
    assert "Invalid" in sentence(Code.CODE_INVALID, 401, "Invalid code.")
    assert "expired" in sentence(Code.CODE_EXPIRED, 401, "The code has expired.")


def test_clients_only_see_codes_that_they_know() -> None:
    assert published("DATABASE_UNAVAILABLE", 503) is Code.TEMPORARILY_UNAVAILABLE
    assert published("QUOTA_APPS", 403) is Code.QUOTA_APPS
    assert published("", 418) is Code.INVALID_REQUEST
