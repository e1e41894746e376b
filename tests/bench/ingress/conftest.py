from tests.integration.ingress.conftest import make_stage, stage

__all__ = ["make_stage", "stage"]
