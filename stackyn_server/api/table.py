"""The route table. What is not in here does not exist."""

from __future__ import annotations

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
from stackyn_server.api.routing import Access, Media, Rate, Route

PUBLIC, USER = Access.PUBLIC, Access.USER
APP, DEPLOYMENT, ADMIN = Access.APP_OWNER, Access.DEPLOYMENT_OWNER, Access.ADMIN
OPERATOR = Access.OPERATOR

# fmt: off
ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", health.alive, PUBLIC, rate=Rate.FREE),
    Route("GET", "/health/ready", health.ready, PUBLIC, rate=Rate.FREE, errors=(503,)),
    Route("GET", "/metrics", metrics.of_server, OPERATOR, rate=Rate.FREE, media=Media.TEXT),

    Route("POST", "/api/auth/send-otp", auth.send_otp, PUBLIC, rate=Rate.AUTHENTICATION),
    Route("POST", "/api/auth/verify-otp", auth.verify_otp, PUBLIC, rate=Rate.AUTHENTICATION, errors=(401,)),
    Route("POST", "/api/auth/login", auth.login, PUBLIC, rate=Rate.AUTHENTICATION, errors=(401,)),
    Route("POST", "/api/auth/signup", auth.sign_up, PUBLIC, status=201, rate=Rate.AUTHENTICATION, errors=(403, 409)),
    Route("POST", "/api/auth/signup/firebase", firebase.sign_up, PUBLIC, status=201, rate=Rate.AUTHENTICATION,
          errors=(409,)),
    Route("POST", "/api/auth/signup/complete", firebase.complete, PUBLIC, status=201, other_status=200,
          rate=Rate.AUTHENTICATION, errors=(401,)),
    Route("POST", "/api/auth/verify-token", firebase.verify_token, PUBLIC, rate=Rate.AUTHENTICATION, errors=(401,)),
    Route("POST", "/api/auth/forgot-password", auth.forgot_password, PUBLIC, rate=Rate.AUTHENTICATION),
    Route("POST", "/api/auth/reset-password", auth.reset_password, PUBLIC, rate=Rate.AUTHENTICATION, errors=(401,)),
    Route("POST", "/api/auth/logout", auth.logout, USER),
    Route("POST", "/api/auth/logout-everywhere", auth.logout_everywhere, USER),
    Route("POST", "/api/auth/update-profile", auth.update_profile, USER),
    Route("GET", "/api/user/me", profile.me, USER),

    Route("GET", "/api/apps", apps.list_apps, USER, has_slash_alias=True),
    Route("POST", "/api/v1/apps", apps.create, USER, status=201, is_billing_gated=True, errors=(403, 409),
          has_slash_alias=True),
    Route("GET", "/api/v1/apps/{app}", apps.show, APP),
    Route("PATCH", "/api/v1/apps/{app}", apps.change, APP, errors=(403, 409)),
    Route("DELETE", "/api/v1/apps/{app}", apps.delete, APP),
    Route("POST", "/api/v1/apps/{app}/stop", apps.stop, APP),
    Route("POST", "/api/v1/apps/{app}/start", apps.start, APP, is_billing_gated=True, errors=(409,)),
    Route("POST", "/api/v1/apps/{app}/restart", apps.restart, APP, status=201, is_billing_gated=True, errors=(409,)),
    Route("POST", "/api/v1/apps/{app}/redeploy", deployments.redeploy, APP, status=201, is_billing_gated=True,
          errors=(403,)),

    Route("GET", "/api/v1/apps/{app}/env", variables.list_variables, APP),
    Route("POST", "/api/v1/apps/{app}/env", variables.put, APP, is_billing_gated=True),
    Route("DELETE", "/api/v1/apps/{app}/env/{key}", variables.delete, APP, status=204, media=Media.NOTHING),

    Route("GET", "/api/v1/apps/{app}/deployments", deployments.list_deployments, APP),
    Route("GET", "/api/v1/apps/{app}/releases", deployments.list_releases, APP),
    Route("POST", "/api/v1/apps/{app}/rollback", deployments.rollback, APP, status=201, is_billing_gated=True,
          errors=(409,)),
    Route("GET", "/api/v1/deployments/{deployment}", deployments.show, DEPLOYMENT),
    Route("POST", "/api/v1/deployments/{deployment}/cancel", deployments.cancel, DEPLOYMENT),
    Route("GET", "/api/v1/deployments/{deployment}/logs", logs.of_deployment, DEPLOYMENT),
    Route("GET", "/api/v1/deployments/{deployment}/logs/stream", logs.follow_build, DEPLOYMENT, media=Media.STREAM,
          headers=("Last-Event-ID",)),
    Route("GET", "/api/v1/apps/{app}/logs/build", logs.build_entries, APP),
    Route("GET", "/api/v1/apps/{app}/logs/runtime", logs.runtime_entries, APP),
    Route("GET", "/api/v1/apps/{app}/logs/runtime/stream", logs.follow_runtime, APP, media=Media.STREAM,
          other_media=Media.TEXT),
    Route("GET", "/api/v1/apps/{app}/events", logs.events, APP),
    Route("GET", "/api/v1/apps/{app}/metrics", metrics.of_app, APP),
    Route("GET", "/api/v1/apps/{app}/verify", progress.verify, APP),
    Route("GET", "/ws/build-status", progress.build_status, USER, status=101, media=Media.WEBSOCKET, errors=(404,)),

    Route("GET", "/api/v1/tokens", tokens.list_tokens, USER),
    Route("POST", "/api/v1/tokens", tokens.create, USER, status=201),
    Route("DELETE", "/api/v1/tokens/{token}", tokens.delete, USER, status=204, media=Media.NOTHING),

    Route("GET", "/api/v1/registries", registries.list_credentials, USER),
    Route("POST", "/api/v1/registries", registries.put, USER, errors=(404, 409)),
    Route("DELETE", "/api/v1/registries/{credential}", registries.delete, USER, status=204, media=Media.NOTHING),

    Route("POST", "/api/webhooks/lemon-squeezy", billing.lemon_squeezy, PUBLIC, rate=Rate.FREE, errors=(401,),
          headers=("X-Signature",)),
    Route("POST", "/api/v1/test/billing", billing.set_for_test, USER, errors=(404,)),

    Route("GET", "/admin/users", admin.list_users, ADMIN, has_slash_alias=True),
    Route("GET", "/admin/users/{user}", admin.show_user, ADMIN),
    Route("PATCH", "/admin/users/{user}/plan", admin.set_plan, ADMIN),
    Route("DELETE", "/admin/users/{user}", admin.delete_user, ADMIN, errors=(400,)),
    Route("GET", "/admin/apps", admin.list_apps, ADMIN, has_slash_alias=True),
    Route("POST", "/admin/apps/{app}/stop", admin.stop_app, ADMIN),
    Route("POST", "/admin/apps/{app}/start", admin.start_app, ADMIN, errors=(409,)),
    Route("POST", "/admin/apps/{app}/redeploy", admin.redeploy_app, ADMIN, status=201),
    Route("DELETE", "/admin/apps/{app}", admin.delete_app, ADMIN),
)
# fmt: on
