"""Tests of billing: the API with a subscription."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackyn_server import config
from tests.contract.billing.provider import SECRET, VARIANTS
from tests.contract.conftest import Platform


@pytest.fixture
async def billed_platform(launch: Callable[..., Any], tmp_path: Path) -> Platform:
    """The API where plans are sold."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    platform: Platform = await launch(
        billing=config.BillingSettings(
            provider="lemonsqueezy", variants=VARIANTS, webhook_secret_file=str(secret)
        ),
        auth=config.AuthSettings(development_codes=True, code_cooldown_seconds=0.001),
    )
    return platform
