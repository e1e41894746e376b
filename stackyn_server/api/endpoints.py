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

PUBLIC, USER = Access.PUBLIC, Access.USER
APP, DEPLOYMENT, ADMIN = Access.APP_OWNER, Access.DEPLOYMENT_OWNER, Access.ADMIN
OPERATOR = Access.OPERATOR

# fmt: off
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/health", health.alive, PUBLIC, rate=Rate.FREE),
    Endpoint("GET", "/health/ready", health.ready, PUBLIC, rate=Rate.FREE, errors=(503,)),
    Endpoint("GET", "/metrics", metrics.of_server, OPERATOR, rate=Rate.FREE, media=Media.TEXT),

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
    Endpoint("POST", "/api/auth/logout", auth.logout, USER),
    Endpoint("POST", "/api/auth/logout-everywhere", auth.logout_everywhere, USER),
    Endpoint("POST", "/api/auth/update-profile", auth.update_profile, USER),
    Endpoint("GET", "/api/user/me", profile.me, USER),

    Endpoint("GET", "/api/apps", apps.list_apps, USER, has_slash_alias=True),
    Endpoint("POST", "/api/v1/apps", apps.create, USER, status=201, is_billing_gated=True, errors=(403, 409),
          has_slash_alias=True),
    Endpoint("GET", "/api/v1/apps/{app}", apps.show, APP),
    Endpoint("PATCH", "/api/v1/apps/{app}", apps.change, APP, errors=(403, 409)),
    Endpoint("DELETE", "/api/v1/apps/{app}", apps.delete, APP),
    Endpoint("POST", "/api/v1/apps/{app}/stop", apps.stop, APP),
    Endpoint("POST", "/api/v1/apps/{app}/start", apps.start, APP, is_billing_gated=True, errors=(409,)),
    Endpoint("POST", "/api/v1/apps/{app}/restart", apps.restart, APP, status=201, is_billing_gated=True, errors=(409,)),
    Endpoint("POST", "/api/v1/apps/{app}/redeploy", deployments.redeploy, APP, status=201, is_billing_gated=True,
          errors=(403,)),

    Endpoint("GET", "/api/v1/apps/{app}/env", variables.list_variables, APP),
    Endpoint("POST", "/api/v1/apps/{app}/env", variables.put, APP, is_billing_gated=True),
    Endpoint("DELETE", "/api/v1/apps/{app}/env/{key}", variables.delete, APP, status=204, media=Media.NOTHING),

    Endpoint("GET", "/api/v1/apps/{app}/deployments", deployments.list_deployments, APP),
    Endpoint("GET", "/api/v1/apps/{app}/releases", deployments.list_releases, APP),
    Endpoint("POST", "/api/v1/apps/{app}/rollback", deployments.rollback, APP, status=201, is_billing_gated=True,
          errors=(409,)),
    Endpoint("GET", "/api/v1/deployments/{deployment}", deployments.show, DEPLOYMENT),
    Endpoint("POST", "/api/v1/deployments/{deployment}/cancel", deployments.cancel, DEPLOYMENT),
    Endpoint("GET", "/api/v1/deployments/{deployment}/logs", logs.of_deployment, DEPLOYMENT),
    Endpoint("GET", "/api/v1/deployments/{deployment}/logs/stream", logs.follow_build, DEPLOYMENT, media=Media.STREAM,
          headers=("Last-Event-ID",)),
    Endpoint("GET", "/api/v1/apps/{app}/logs/build", logs.build_entries, APP),
    Endpoint("GET", "/api/v1/apps/{app}/logs/runtime", logs.runtime_entries, APP),
    Endpoint("GET", "/api/v1/apps/{app}/logs/runtime/stream", logs.follow_runtime, APP, media=Media.STREAM,
          other_media=Media.TEXT),
    Endpoint("GET", "/api/v1/apps/{app}/events", logs.events, APP),
    Endpoint("GET", "/api/v1/apps/{app}/metrics", metrics.of_app, APP),
    Endpoint("GET", "/api/v1/apps/{app}/verify", progress.verify, APP),
    Endpoint("GET", "/ws/build-status", progress.build_status, USER, status=101, media=Media.WEBSOCKET, errors=(404,)),

    Endpoint("GET", "/api/v1/tokens", tokens.list_tokens, USER),
    Endpoint("POST", "/api/v1/tokens", tokens.create, USER, status=201),
    Endpoint("DELETE", "/api/v1/tokens/{token}", tokens.delete, USER, status=204, media=Media.NOTHING),

    Endpoint("GET", "/api/v1/registries", registries.list_credentials, USER),
    Endpoint("POST", "/api/v1/registries", registries.put, USER, errors=(404, 409)),
    Endpoint("DELETE", "/api/v1/registries/{credential}", registries.delete, USER, status=204, media=Media.NOTHING),

    Endpoint("POST", "/api/webhooks/lemon-squeezy", billing.lemon_squeezy, PUBLIC, rate=Rate.FREE, errors=(401,),
          headers=("X-Signature",)),
    Endpoint("POST", "/api/v1/test/billing", billing.set_for_test, USER, errors=(404,)),

    Endpoint("GET", "/admin/users", admin.list_users, ADMIN, has_slash_alias=True),
    Endpoint("GET", "/admin/users/{user}", admin.show_user, ADMIN),
    Endpoint("PATCH", "/admin/users/{user}/plan", admin.set_plan, ADMIN),
    Endpoint("DELETE", "/admin/users/{user}", admin.delete_user, ADMIN, errors=(400,)),
    Endpoint("GET", "/admin/apps", admin.list_apps, ADMIN, has_slash_alias=True),
    Endpoint("POST", "/admin/apps/{app}/stop", admin.stop_app, ADMIN),
    Endpoint("POST", "/admin/apps/{app}/start", admin.start_app, ADMIN, errors=(409,)),
    Endpoint("POST", "/admin/apps/{app}/redeploy", admin.redeploy_app, ADMIN, status=201),
    Endpoint("DELETE", "/admin/apps/{app}", admin.delete_app, ADMIN),
)
# fmt: on
