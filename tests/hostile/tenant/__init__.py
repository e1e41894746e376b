"""What somebody with an account tries on the API."""
