"""HTTP in: one table of routes, of which middleware, OpenAPI and the authorization tests are derived."""
