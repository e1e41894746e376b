"""Credentials of image registries: what we add to the contract. A password is only ever received."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from stackyn_server.api.wire.base import RequestBody, ResponseBody, Text


class NewRegistryCredential(RequestBody):
    """`host` as it stands in an image's name; `app_id` is the one app that it is for (`null`: all of the account)."""

    host: Text
    user: Text
    password: Text = Field(repr=False)
    app_id: int | None = None


class RegistryCredential(ResponseBody):
    id: int
    host: str
    user: str
    app_id: int | None
    created_at: datetime
    updated_at: datetime
