"""HTTP in: one table of endpoints, from which middleware, OpenAPI and the authorization tests are derived."""
