from tests.integration.ingress.conftest import make_setup, setup

__all__ = ["make_setup", "setup"]
