"""The port of credentials: what an element knows us by, wherever it comes from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .errors import Denied, ElementOperation


@dataclass(frozen=True)
class Credential:
    """A bearer token, or a chain of X.509 certificates with its key, in PEM."""

    text: str = field(repr=False)
    expires_at: float | None = None  # wall clock; None where it does not say

    @property
    def is_proxy(self) -> bool:
        """Whether it is a certificate with its key."""
        return self.text.lstrip().startswith("-----BEGIN")


class CredentialSource(Protocol):
    """Gives the credential of one element, a fresh one where the old one runs out."""

    async def current(self) -> Credential:
        """Return one that is valid now. Raises CredentialExpired, which says what was looked at."""
        ...


def keep(credential: Credential, file: Path) -> Path:
    """Write it where only we can read it, for programs that take a file; return the file.

    Raises Denied where it cannot be written.
    """
    text = credential.text.encode()
    try:
        if not file.exists() or file.read_bytes() != text:
            new = file.with_name(f"{file.name}.new")
            new.unlink(missing_ok=True)
            new.touch(mode=0o600)
            new.write_bytes(text)
            new.replace(file)
    except OSError as why:
        raise Denied(ElementOperation.CREDENTIAL, f"{file}: {why.strerror}") from None
    return file
