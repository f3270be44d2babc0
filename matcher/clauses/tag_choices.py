"""Choices: what a tag expression comes to, as tags of which one must be there, again and again.

`a & (b | ~c)` comes to two choices: `a`, and one of `b` and `~c`. All must be met. So the index
knows by the words alone which expressions hold. What would be long in that form (`a & b | c & d`
and so on) is told in part: who meets the choices has to be asked the expression itself.
"""

from dataclasses import dataclass
from typing import Final

CHOICES_MAX: Final = 128  # of an expression
PRODUCT_MAX: Final = 16  # choices that become of alternatives

Choice = tuple[frozenset[str], frozenset[str]]  # one of these is there, or one of those is not

_NOTHING: Final[Choice] = (frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Choices:
    """Each of them is met where the expression holds; `says_all`: and only there."""

    each: tuple[Choice, ...]
    says_all: bool = True


def one_tag(name: str, negated: bool) -> Choices:
    its, nothing = frozenset((name,)), _NOTHING[0]
    return Choices(((nothing, its) if negated else (its, nothing),))


def all_of(parts: list[Choices]) -> Choices:
    """Return what must be met where all parts hold."""
    each = tuple(dict.fromkeys(choice for part in parts for choice in part.each))
    says_all = len(each) <= CHOICES_MAX and all(part.says_all for part in parts)
    return Choices(each[:CHOICES_MAX], says_all)


def any_of(parts: list[Choices]) -> Choices:
    """Return what must be met where one of some parts holds: one choice of each, for all of them.

    Where that would be many, one choice stands for a part.
    """
    found, says_all = [_NOTHING], all(part.says_all for part in parts)
    for part in parts:
        its = part.each
        if len(found) * len(its) > PRODUCT_MAX:
            its, says_all = its[:1], False
        found = [(must | it, without | no) for must, without in found for it, no in its]
    # Where a tag may be there or not, nothing is asked.
    each = dict.fromkeys(choice for choice in found if not choice[0] & choice[1])
    return Choices(tuple(each), says_all)


def told(choices: Choices) -> Choices:
    """Leave those out in which two tags or more must not be: rows of bits do not tell them."""
    each = tuple(choice for choice in choices.each if len(choice[1]) < 2)
    return Choices(each, choices.says_all and len(each) == len(choices.each))
