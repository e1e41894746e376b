"""Sentences in errors, without the words that published clients act on."""

from __future__ import annotations

import re
from http import HTTPStatus

from stackyn_server.api.wire.codes import Code

# The console reads these in the text of a failed `GET /api/apps` as "sign in again", and loops.
_NEVER = re.compile("401|unauthorized", re.IGNORECASE)
# The console shows its own text for these two; only the codes of a wrong or late one-time code may use them.
_CODE_WORDS = re.compile("expired|Invalid")
_CODES_WITH_CODE_WORDS = frozenset({Code.CODE_INVALID, Code.CODE_EXPIRED})
_PUBLISHED = frozenset({"Invalid email or password"})  # of sign-in by password, which that page never sees

_INSTEAD = {
    400: "The request can't be carried out as it is.",
    401: "Sign in to go on.",
    402: "Your plan has run out.",
    403: "This is not allowed for your account.",
    404: "There is nothing at this address.",
    405: "This address does not know this method.",
    409: "This can't be done in the present state.",
    413: "The request is too large.",
    417: "The request expects something that this server does not do.",
    429: "Too many requests. Wait a moment, then try again.",
    500: "Something went wrong on our side.",
    503: "The server can't do this right now. Try again in a moment.",
}


def about_status(status: int) -> str:
    """Return a sentence for a failure about which nothing more is known."""
    return _INSTEAD.get(status) or f"The request failed: {HTTPStatus(status).phrase.lower()}."


def sentence(code: Code, status: int, *parts: str) -> str:
    """Join the non-empty parts to one text. The sentence of the status replaces a text with a forbidden word, which a
    tenant may have typed."""
    text = " ".join(part for part in parts if part)
    may_have_code_words = code in _CODES_WITH_CODE_WORDS or text in _PUBLISHED
    is_forbidden = _NEVER.search(text) or (not may_have_code_words and _CODE_WORDS.search(text))
    return about_status(status) if is_forbidden or not text else text
