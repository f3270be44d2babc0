"""Choices: a tag expression as a list of conditions, in each of which one tag must be met.

`a & (b | ~c)` gives two choices: `a`, and one of `b` and `~c`. All choices must be met. Thus the
index finds by words alone which expressions hold. An expression that would be long in this form (`a
& b | c & d` and so on) is expressed in part: if an offer meets its choices, the expression itself
must be checked.
"""

from dataclasses import dataclass
from typing import Final

CHOICES_MAX: Final = 128  # for one expression
PRODUCT_MAX: Final = 16  # choices made from alternatives

# One of the first must be there, or one of the second must not.
Choice = tuple[frozenset[str], frozenset[str]]

_NOTHING: Final[Choice] = (frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class TagChoices:
    """Each choice is met if the expression holds; `says_all`: the reverse is true as well."""

    each: tuple[Choice, ...]
    says_all: bool = True


def one_tag(name: str, negated: bool) -> TagChoices:
    its, nothing = frozenset((name,)), _NOTHING[0]
    return TagChoices(((nothing, its) if negated else (its, nothing),))


def all_of(parts: list[TagChoices]) -> TagChoices:
    """Return the choices that are met if all parts hold."""
    each = tuple(dict.fromkeys(choice for part in parts for choice in part.each))
    says_all = len(each) <= CHOICES_MAX and all(part.says_all for part in parts)
    return TagChoices(each[:CHOICES_MAX], says_all)


def any_of(parts: list[TagChoices]) -> TagChoices:
    """Return the choices that are met if one of some parts holds: one of each part, combined.

    If there would be too many, one choice represents each part.
    """
    found, says_all = [_NOTHING], all(part.says_all for part in parts)
    for part in parts:
        its = part.each
        if len(found) * len(its) > PRODUCT_MAX:
            its, says_all = its[:1], False
        found = [(must | it, without | no) for must, without in found for it, no in its]
    # A choice that is met with and without a tag asks for nothing.
    each = dict.fromkeys(choice for choice in found if not choice[0] & choice[1])
    return TagChoices(tuple(each), says_all)


def told(choices: TagChoices) -> TagChoices:
    """Leave out the choices with two or more forbidden tags: rows of bits cannot express them."""
    each = tuple(choice for choice in choices.each if len(choice[1]) < 2)
    return TagChoices(each, choices.says_all and len(each) == len(choices.each))
