from tests.e2e.conftest import git

__all__ = ["git"]
