"""What a client without an account tries on the API."""
