"""The stories: each walks the steps of one kind of job, records every step before the next, and resumes after a
crash."""
