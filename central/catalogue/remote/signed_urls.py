"""The port of types whose requests carry signed URLs, so that pilots never see the keys."""

from typing import Protocol, runtime_checkable

from ..storages import StorageEntry
from .storage_http import S3Keys


@runtime_checkable
class SigningType(Protocol):
    """A StorageType for which the central signs a URL for each request (`credential = "keys"`)."""

    def signed_url(
        self,
        entry: StorageEntry,
        method: str,
        path: str,
        *,
        keys: S3Keys,
        now: float,
        life_s: int,
        sha256: str = "",
    ) -> str:
        """Return a URL that allows one kind of request for a path until `now + life_s`.

        With `sha256` (64 hexadecimal digits), the request must send it, and create the file.
        """
        ...
