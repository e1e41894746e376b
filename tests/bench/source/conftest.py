from tests.integration.source.conftest import clone

__all__ = ["clone"]
