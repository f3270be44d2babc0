"""Named amounts: counted resources, by name, that jobs need and that pilots or limits provide.

A name without a dot is an amount of a pilot. Each pilot offers a number of it, and its attempts
take from that number. A name with a dot, such as `licence.matlab`, is a pool. No pilot offers a
pool: limits say how much of it the attempts of one site, or of all sites, may take together.

Stdlib only: pilots check the amounts that they are configured to offer.
"""

import re
from collections.abc import Mapping
from typing import Final

from .ids import ID_MAX

AMOUNTS_MAX: Final = 16  # names of one job or one offer
AMOUNT_MAX: Final = ID_MAX  # of each
NAME_MAX: Final = 64  # characters
FORM: Final = r"[a-z][a-z0-9_]*(\.[a-z0-9_-]+)?"
RIGHT: Final = "lower-case letters, digits and _, with an optional dot and second part"
OF_NEEDS: Final = {  # names that are built in, and the field to use for each
    "cores": "the field cores_min",
    "memory_mb": "the field memory_mb",
    "scratch_mb": "the field scratch_mb",
    "gpus": "the field gpus_min",
}
OF_OFFERS: Final = {name: f"the field {name}" for name in OF_NEEDS}

_NAME: Final = re.compile(FORM)


class BadAmount(ValueError):
    """An amount that no job can need and no pilot can offer.

    The message names the amount and the right form.
    """


def is_pool(name: str) -> bool:
    """Return whether the name is a pool, whose size limits set, not pilots."""
    return "." in name


def check_name(name: str, built_in: Mapping[str, str] = OF_NEEDS) -> None:
    """Raise BadAmount if `name` cannot name an amount.

    `built_in` maps the names that are built in to the field to use for each.
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
    """Raise BadAmount for the first wrong name or number, or for too many names."""
    if len(amounts) > AMOUNTS_MAX:
        raise BadAmount(f"found {len(amounts)} names, expected at most {AMOUNTS_MAX}")
    for name, amount in amounts.items():
        check_name(name, built_in)
        if not 0 <= amount <= AMOUNT_MAX:
            raise BadAmount(
                f"{name}: found {amount}, expected a whole number from 0 to {AMOUNT_MAX}"
            )


def check_offered(amounts: Mapping[str, int]) -> None:
    """Raise BadAmount for the first amount that a pilot cannot offer, such as a pool."""
    check_amounts(amounts, OF_OFFERS)
    for name in amounts:
        if is_pool(name):
            raise BadAmount(
                f"{name}: a name with a dot is a pool, which no pilot offers: limits set its size"
            )


def read_amounts(words: "tuple[str, ...]") -> "dict[str, int]":
    """Return the amounts in words such as `bandwidth_mbps=100`. Raises BadAmount."""
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
