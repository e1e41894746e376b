"""The job handlers: each records every step before the next one begins, and resumes after a crash."""
