"""The contract's JSON as pydantic models: strict for what comes in, exact for what goes out."""
