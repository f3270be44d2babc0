"""The port of credentials with which the central authenticates at elements."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .errors import Denied, ElementOperation


@dataclass(frozen=True)
class Credential:
    """A bearer token, or a chain of X.509 certificates with its key, in PEM."""

    text: str = field(repr=False)
    expires_at: float | None = None  # wall clock; None: unknown

    @property
    def is_proxy(self) -> bool:
        """Whether it is a certificate with its key."""
        return self.text.lstrip().startswith("-----BEGIN")


class CredentialSource(Protocol):
    """Gives the credential of one element, and renews it before it expires."""

    async def current(self) -> Credential:
        """Return a credential that is valid now. Raises CredentialExpired; it names the source."""
        ...


def keep(credential: Credential, file: Path) -> Path:
    """Write the credential with mode 0600 for programs that read a file; return the file.

    Raises Denied if it cannot be written.
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
