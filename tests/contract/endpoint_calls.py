"""Call any entry of the endpoint table in a form that is right, so that only rights and state decide the answer."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from stackyn_server.api.binding import bind
from stackyn_server.api.endpoint import Endpoint, Media
from tests.contract.conftest import PASSWORD, REPOSITORY, Answer, Person

Members = dict[str, Any]

# What the members of paths, and the query of the WebSocket, name when there is no such thing.
NOTHING: Members = {
    "app": 999_999_999,
    "deployment": 999_999_999,
    "token": 999_999_999,
    "credential": 999_999_999,
    "user": "00000000-0000-4000-8000-000000000000",
    "key": "KEY",
}

_numbers = itertools.count(1)


def titles(endpoints: list[Endpoint]) -> Any:
    return pytest.mark.parametrize(
        "endpoint", endpoints, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}"
    )


async def call(person: Person, endpoint: Endpoint, members: Members, **headers: str) -> Answer:
    """Call the endpoint about what `members` name. A member or a body that is new here is a KeyError."""
    binding = bind(endpoint)
    path = endpoint.path
    for name in binding.path:
        path = path.replace(f"{{{name}}}", str(members[name]))
    if endpoint.media is Media.WEBSOCKET:
        path += f"?app_id={members['app']}"
    options: dict[str, Any] = {"json": _bodies()[binding.body[1].__name__]} if binding.body else {}
    return await person.call(endpoint.method, path, headers=headers, **options)


def names_something(endpoint: Endpoint) -> bool:
    """Whether a request says which thing it is about, and not only who asks."""
    return "{" in endpoint.path or endpoint.media is Media.WEBSOCKET


async def an_app(person: Person) -> Members:
    """Make an app with a variable, a deployment that waits, a token and a registry's credential; return what they are
    called."""
    app = await person.new_app(env_vars=[{"key": "KEY", "value": "a value"}])
    deployments = (await person.get(f"/api/v1/apps/{app}/deployments")).json
    token = (await person.post("/api/v1/tokens", json={"name": "a token"})).json
    signed_in = {"host": "ghcr.io", "user": "ada", "password": "a secret", "app_id": app}
    credential = (await person.post("/api/v1/registries", json=signed_in)).json
    return {
        "app": app, "deployment": deployments[0]["id"], "token": token["id"], "user": person.id, "key": "KEY",
        "credential": credential["id"],
    }  # fmt: skip


def _bodies() -> dict[str, dict[str, Any]]:
    """A body for each model, with a name and an address that nobody has."""
    number = next(_numbers)
    email = f"caller-{number}@example.test"
    return {
        "AppChange": {"name": f"changed {number}"},
        "CodeProof": {"email": email, "otp": "000000"},
        "CodeRequest": {"email": email},
        "FirebaseSignUp": {"email": email, "password": PASSWORD},
        "Login": {"email": email, "password": PASSWORD},
        "NewApp": {"name": f"called {number}", "repo_url": REPOSITORY},
        "NewRegistryCredential": {
            "host": "registry.example.test:5000",
            "user": "ada",
            "password": "a secret",
        },
        "NewToken": {"name": "another token"},
        "NewVariable": {"key": "OTHER", "value": "value"},
        "PasswordReset": {"email": email, "otp": "000000", "password": PASSWORD},
        "PlanChange": {"plan": "starter"},
        "ProfileChange": {"full_name": "Ada"},
        "Rollback": {"release": 1},
        "SignUp": {"email": email, "password": PASSWORD},
        "SignUpCompletion": {"id_token": "a.b.c", "full_name": "Ada"},
        "TestBilling": {"plan": "starter"},
        "TokenBody": {"id_token": "a.b.c"},
    }
