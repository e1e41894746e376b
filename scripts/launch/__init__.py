"""What scripts/run does once the machine is prepared: the server in the foreground, a first admin, the example app."""
