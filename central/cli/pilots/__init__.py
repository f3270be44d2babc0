"""Commands about pilots."""
