from tests.integration.jobs.conftest import plain_log
from tests.integration.jobs.test_faults import own_database, postgres

__all__ = ["own_database", "plain_log", "postgres"]
