"""The persons that a shown name can mean. Pure."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Final

from .ban_list import Person

_ISSUERS: Final = ("https://", "http://")


def persons_named(name: str, local_issuer: str, issuer: str = "") -> Sequence[Person]:
    """Return the persons that `name` can mean.

    With an issuer, `name` is a subject of it. Else it is a subject of the local issuer, or
    `SUBJECT@ISSUER`. A subject may contain `@`, so several readings are possible.
    """
    if issuer:
        return [Person(issuer, name)]
    found = [Person(local_issuer, name)]
    for at, letter in enumerate(name):
        if at and letter == "@" and name.startswith(_ISSUERS, at + 1):
            found.append(Person(name[at + 1 :], name[:at]))
    return found


def near(name: str, known: Collection[str]) -> str:
    """Return the question whether a similar known name is meant, or an empty text."""
    return did_you_mean(get_close_matches(name, sorted(known), n=1))


def did_you_mean(names: Sequence[str]) -> str:
    """Return the question whether one of some names is meant; empty without names."""
    return f"; did you mean {' or '.join(map(repr, names))}?" if names else ""
