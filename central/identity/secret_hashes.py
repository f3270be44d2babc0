"""How secrets of high entropy are kept: nobody who reads the store can use them."""

import hashlib


def hashed(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
