"""The embedded PostgreSQL: where its programs come from, its files and user, and the server as a child process."""
