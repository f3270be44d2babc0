"""The folders and files of attempts: brought, packed, found, measured, and taken away."""
