"""The `stackyn` command: runs the server and administers it from this machine."""
