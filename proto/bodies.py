"""What all bodies of the HTTP API have in common."""

import msgspec


class In(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """From a submitter: unknown fields are refused."""


class Out(msgspec.Struct, frozen=True, kw_only=True):
    """From the central: clients ignore what they do not know."""
