"""What the tables of `config.toml` share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from stackyn_server.errors import StackynError

Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
OptionalPort = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]


class ConfigInvalid(StackynError):
    """`config.toml` can't be used. `message` names file, line, key and reason."""

    code = "CONFIG_INVALID"
    exit_code = 78  # EX_CONFIG of sysexits.h


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)
