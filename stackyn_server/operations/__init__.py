"""What the server does without a request of a tenant: deliver mail, end trials, hold requests, show its own state."""
