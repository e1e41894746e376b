"""The endpoint table. What is not in here does not exist."""

from __future__ import annotations

from stackyn_server.api.endpoint import Access, Endpoint, Media, Rate
from stackyn_server.api.resources import (
    admin,
    apps,
    auth,
    billing,
    deployments,
    firebase,
    health,
    logs,
    metrics,
    profile,
    progress,
    registries,
    tokens,
    variables,
)
from stackyn_server.domain.scopes import Scope

PUBLIC, USER = Access.PUBLIC, Access.USER
APP, DEPLOYMENT, ADMIN = Access.APP_OWNER, Access.DEPLOYMENT_OWNER, Access.ADMIN
OPERATOR = Access.OPERATOR
READ, DEPLOY, AS_ADMIN, SESSION = Scope.READ, Scope.DEPLOY, Scope.ADMIN, Scope.SESSION

# fmt: off
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/health", health.alive, PUBLIC, rate=Rate.FREE),
    Endpoint("GET", "/health/ready", health.ready, PUBLIC, rate=Rate.READINESS),
    Endpoint("GET", "/metrics", metrics.of_server, OPERATOR, AS_ADMIN, rate=Rate.FREE, media=Media.TEXT),

    Endpoint("POST", "/api/auth/send-otp", auth.send_otp, PUBLIC, rate=Rate.AUTHENTICATION),
    Endpoint("POST", "/api/auth/verify-otp", auth.verify_otp, PUBLIC, rate=Rate.AUTHENTICATION, errors=(401,)),
    Endpoint("POST", "/api/auth/login", auth.login, PUBLIC, rate=Rate.AUTHENTICATION, errors=(401,)),
    Endpoint("POST", "/api/auth/signup", auth.sign_up, PUBLIC, status=201, rate=Rate.AUTHENTICATION, errors=(403, 409)),
    Endpoint("POST", "/api/auth/signup/firebase", firebase.sign_up, PUBLIC, status=201, rate=Rate.AUTHENTICATION,
          errors=(409,)),
    Endpoint("POST", "/api/auth/signup/complete", firebase.complete, PUBLIC, status=201, other_status=200,
          rate=Rate.AUTHENTICATION, errors=(401,)),
    Endpoint("POST", "/api/auth/verify-token", firebase.verify_token, PUBLIC, rate=Rate.AUTHENTICATION, errors=(401,)),
    Endpoint("POST", "/api/auth/forgot-password", auth.forgot_password, PUBLIC, rate=Rate.AUTHENTICATION),
    Endpoint("POST", "/api/auth/reset-password", auth.reset_password, PUBLIC, rate=Rate.AUTHENTICATION, errors=(401,)),
    Endpoint("POST", "/api/auth/logout", auth.logout, USER, SESSION),
    Endpoint("POST", "/api/auth/logout-everywhere", auth.logout_everywhere, USER, SESSION),
    Endpoint("POST", "/api/auth/update-profile", auth.update_profile, USER, SESSION),
    Endpoint("GET", "/api/user/me", profile.me, USER, READ),

    Endpoint("GET", "/api/apps", apps.list_apps, USER, READ, has_slash_alias=True, narrows_to_app=True),
    Endpoint("POST", "/api/v1/apps", apps.create, USER, DEPLOY, status=201, is_billing_gated=True, errors=(403, 409),
          has_slash_alias=True),
    Endpoint("GET", "/api/v1/apps/{app}", apps.show, APP, READ),
    Endpoint("PATCH", "/api/v1/apps/{app}", apps.change, APP, DEPLOY, errors=(403, 409)),
    Endpoint("DELETE", "/api/v1/apps/{app}", apps.delete, APP, DEPLOY),
    Endpoint("POST", "/api/v1/apps/{app}/stop", apps.stop, APP, DEPLOY),
    Endpoint("POST", "/api/v1/apps/{app}/start", apps.start, APP, DEPLOY, is_billing_gated=True, errors=(409,)),
    Endpoint("POST", "/api/v1/apps/{app}/restart", apps.restart, APP, DEPLOY, status=201, is_billing_gated=True,
          errors=(409,)),
    Endpoint("POST", "/api/v1/apps/{app}/redeploy", deployments.redeploy, APP, DEPLOY, status=201,
          is_billing_gated=True, errors=(403,)),

    Endpoint("GET", "/api/v1/apps/{app}/env", variables.list_variables, APP, DEPLOY),
    Endpoint("POST", "/api/v1/apps/{app}/env", variables.put, APP, DEPLOY, is_billing_gated=True),
    Endpoint("DELETE", "/api/v1/apps/{app}/env/{key}", variables.delete, APP, DEPLOY, status=204, media=Media.NOTHING),

    Endpoint("GET", "/api/v1/apps/{app}/deployments", deployments.list_deployments, APP, READ),
    Endpoint("GET", "/api/v1/apps/{app}/releases", deployments.list_releases, APP, READ),
    Endpoint("POST", "/api/v1/apps/{app}/rollback", deployments.rollback, APP, DEPLOY, status=201,
          is_billing_gated=True, errors=(409,)),
    Endpoint("GET", "/api/v1/deployments/{deployment}", deployments.show, DEPLOYMENT, READ),
    Endpoint("POST", "/api/v1/deployments/{deployment}/cancel", deployments.cancel, DEPLOYMENT, DEPLOY),
    Endpoint("GET", "/api/v1/deployments/{deployment}/logs", logs.of_deployment, DEPLOYMENT, READ),
    Endpoint("GET", "/api/v1/deployments/{deployment}/logs/stream", logs.follow_build, DEPLOYMENT, READ,
          media=Media.STREAM, headers=("Last-Event-ID",)),
    Endpoint("GET", "/api/v1/apps/{app}/logs/build", logs.build_entries, APP, READ),
    Endpoint("GET", "/api/v1/apps/{app}/logs/runtime", logs.runtime_entries, APP, READ),
    Endpoint("GET", "/api/v1/apps/{app}/logs/runtime/stream", logs.follow_runtime, APP, READ, media=Media.STREAM,
          other_media=Media.TEXT, headers=("Last-Event-ID",), errors=(403,)),
    Endpoint("GET", "/api/v1/apps/{app}/events", logs.events, APP, READ),
    Endpoint("GET", "/api/v1/apps/{app}/metrics", metrics.of_app, APP, READ),
    Endpoint("GET", "/api/v1/apps/{app}/verify", progress.verify, APP, READ),
    Endpoint("GET", "/ws/build-status", progress.build_status, USER, READ, status=101, media=Media.WEBSOCKET,
          errors=(404,), narrows_to_app=True),

    Endpoint("GET", "/api/v1/tokens", tokens.list_tokens, USER, SESSION),
    Endpoint("POST", "/api/v1/tokens", tokens.create, USER, SESSION, status=201, errors=(404, 409)),
    Endpoint("DELETE", "/api/v1/tokens/{token}", tokens.delete, USER, SESSION, status=204, media=Media.NOTHING),

    Endpoint("GET", "/api/v1/registries", registries.list_credentials, USER, READ),
    Endpoint("POST", "/api/v1/registries", registries.put, USER, SESSION, errors=(404, 409)),
    Endpoint("DELETE", "/api/v1/registries/{credential}", registries.delete, USER, SESSION, status=204,
          media=Media.NOTHING),

    Endpoint("POST", "/api/webhooks/lemon-squeezy", billing.lemon_squeezy, PUBLIC, rate=Rate.FREE, errors=(401,),
          headers=("X-Signature",)),
    Endpoint("POST", "/api/v1/test/billing", billing.set_for_test, USER, SESSION, errors=(404,)),

    Endpoint("GET", "/admin/users", admin.list_users, ADMIN, AS_ADMIN, has_slash_alias=True),
    Endpoint("GET", "/admin/users/{user}", admin.show_user, ADMIN, AS_ADMIN),
    Endpoint("PATCH", "/admin/users/{user}/plan", admin.set_plan, ADMIN, AS_ADMIN),
    Endpoint("DELETE", "/admin/users/{user}", admin.delete_user, ADMIN, AS_ADMIN, errors=(400,)),
    Endpoint("GET", "/admin/apps", admin.list_apps, ADMIN, AS_ADMIN, has_slash_alias=True),
    Endpoint("POST", "/admin/apps/{app}/stop", admin.stop_app, ADMIN, AS_ADMIN),
    Endpoint("POST", "/admin/apps/{app}/start", admin.start_app, ADMIN, AS_ADMIN, errors=(409,)),
    Endpoint("POST", "/admin/apps/{app}/redeploy", admin.redeploy_app, ADMIN, AS_ADMIN, status=201),
    Endpoint("DELETE", "/admin/apps/{app}", admin.delete_app, ADMIN, AS_ADMIN),
    Endpoint("GET", "/admin/audit", admin.audit, ADMIN, AS_ADMIN),
)
# fmt: on
