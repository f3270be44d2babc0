"""Named amounts: counted resources that a job needs and that pilots or limits provide, by name.

A name without a dot is an amount of a pilot: each pilot offers so much of it, and its attempts take
it. A name with a dot, such as `licence.matlab`, is a pool: no pilot offers it, and limits alone say
how much of it all attempts of a site, or of all sites, may take together.

Stdlib only: pilots check what they are told to offer.
"""

import re
from collections.abc import Mapping
from typing import Final

from .ids import ID_MAX

AMOUNTS_MAX: Final = 16  # names of one job or one offer
AMOUNT_MAX: Final = ID_MAX  # of each
NAME_MAX: Final = 64  # characters
FORM: Final = r"[a-z][a-z0-9_]*(\.[a-z0-9_-]+)?"
RIGHT: Final = "small letters, digits and _, then perhaps a dot and a second part"
OF_NEEDS: Final = {  # names that are built in, and what to use for each
    "cores": "the field cores_min",
    "memory_mb": "the field memory_mb",
    "scratch_mb": "the field scratch_mb",
    "gpus": "the field gpus_min",
}
OF_OFFERS: Final = {name: f"the field {name}" for name in OF_NEEDS}

_NAME: Final = re.compile(FORM)


class BadAmount(ValueError):
    """An amount that nobody can need or offer. The message says which, and what is right."""


def is_pool(name: str) -> bool:
    """Whether limits hold the amount, and not pilots."""
    return "." in name


def check_name(name: str, built_in: Mapping[str, str] = OF_NEEDS) -> None:
    """Raise BadAmount for what is no name of an amount.

    `built_in`: names that are built in, and what to use for each.
    """
    if name in built_in:
        raise BadAmount(f"{name} is built in: use {built_in[name]}")
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        shown = repr(name) if len(name) <= NAME_MAX else repr(name[:NAME_MAX]) + "..."
        raise BadAmount(
            f"found the name {shown}, expected at most {NAME_MAX} characters: {RIGHT},"
            " as in bandwidth_mbps or licence.matlab"
        )


def check_amounts(amounts: Mapping[str, int], built_in: Mapping[str, str] = OF_NEEDS) -> None:
    """Raise BadAmount for the first name or number that is not right, or for too many names."""
    if len(amounts) > AMOUNTS_MAX:
        raise BadAmount(f"found {len(amounts)} names, expected at most {AMOUNTS_MAX}")
    for name, amount in amounts.items():
        check_name(name, built_in)
        if not 0 <= amount <= AMOUNT_MAX:
            raise BadAmount(
                f"{name}: found {amount}, expected a whole number from 0 to {AMOUNT_MAX}"
            )


def check_offered(amounts: Mapping[str, int]) -> None:
    """Raise BadAmount for what no pilot can offer: pools too."""
    check_amounts(amounts, OF_OFFERS)
    for name in amounts:
        if is_pool(name):
            raise BadAmount(
                f"{name}: a name with a dot is a pool, which no pilot offers: limits say how much"
                " of it there is"
            )


def read_amounts(words: "tuple[str, ...]") -> "dict[str, int]":
    """Return what words such as `bandwidth_mbps=100` say. Raises BadAmount."""
    found: dict[str, int] = {}
    for word in words:
        name, _, text = word.partition("=")
        if not re.fullmatch("[0-9]{1,16}", text, re.ASCII):
            raise BadAmount(
                f"found {word!r}, expected NAME=AMOUNT, as in bandwidth_mbps=100: a whole number"
                f" from 0 to {AMOUNT_MAX}"
            )
        if name in found:
            raise BadAmount(f"{name}: found twice, expected each name once")
        found[name] = int(text)
    return found
