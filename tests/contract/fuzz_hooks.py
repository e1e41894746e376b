"""Read by schemathesis itself: every request is the caller's, but who signs out is somebody new each time."""

from __future__ import annotations

import itertools
import os
from typing import Any

import requests
import schemathesis

ADDRESS, TOKEN = "STACKYN_FUZZED_ADDRESS", "STACKYN_FUZZING_TOKEN"
SIGNS_OUT = ("/api/auth/logout", "/api/auth/logout-everywhere")

_numbers = itertools.count(1)


@schemathesis.hook
def before_call(_context: Any, case: Any, **_options: Any) -> None:
    if token := os.environ.get(TOKEN):
        case.headers["Authorization"] = f"Bearer {_somebody_new() if case.path in SIGNS_OUT else token}"


def _somebody_new() -> str:
    body = {"email": f"leaving-{next(_numbers)}@example.test", "password": "correct horse battery"}
    answer = requests.post(f"{os.environ[ADDRESS]}/api/auth/signup", json=body, timeout=30)
    return str(answer.json()["token"])
