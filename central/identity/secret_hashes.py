"""Hashes of secrets with high entropy, so that a reader of the store cannot use them."""

import hashlib


def hashed(secret: str) -> str:
    """Return the hash of a secret, which the store keeps instead of it."""
    return hashlib.sha256(secret.encode()).hexdigest()
