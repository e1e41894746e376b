"""The `stackyn` command: runs the server, and does what can't go through the API."""
