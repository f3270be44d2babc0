"""Sessions of people who logged in: what is stored, renewed, confirmed and ended."""
