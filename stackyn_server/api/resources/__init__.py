"""Handlers, one module per resource: translate the request, ask one service, translate the answer."""
