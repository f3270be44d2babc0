"""The site-specific rules of matching: order, limits, and where only tests may run.

The central reads them from its settings. Shares and limits may change while the matcher runs.
"""

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from pilotage.proto.amounts import AMOUNT_MAX, BadAmount, check_name
from pilotage.proto.decoding.patterns import SITE_OR_ELEMENT, whole

By = Literal["type", "group", "owner", "tag"]
CountedBy = Literal["type", "group", "owner", "tag", "amount"]
Where = Annotated[str, Meta(pattern=SITE_OR_ELEMENT)]
# The jobs that a limit counts: those of one community, or of all together (`*`). By default, limits
# of groups and owners count each community separately; types, tags and amounts count all together.
Whose = Annotated[
    str,
    Meta(
        pattern=whole(r"(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,63})?"),
        description="the name of a community, or a star for all of them",
    ),
]
Weight = Annotated[float, Meta(ge=0.001, le=1e9)]

ALL_COMMUNITIES: Final = "*"  # whose jobs a limit counts together

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_NAME: Final = re.compile(
    r"[^\x00-\x20\x7f-\xa0]([^\x00-\x1f\x7f-\x9f]{0,510}[^\x00-\x20\x7f-\xa0])?"
)


def check_value(by: CountedBy, value: str) -> None:
    """Raise ValueError if no job can have, or ask for, this value of `by`.

    Owners are names from tokens, which may contain blanks.
    """
    if by == "amount":
        try:
            return check_name(value)
        except BadAmount as why:
            raise ValueError(f"value: {why}") from None
    right = _NAME if by == "owner" else _WORD
    if not right.fullmatch(value):
        words = "1 to 512 characters" if by == "owner" else "letters, digits and . _ : / @ + - only"
        raise ValueError(f"value: {value!r} is no {by}: expected {words}")


class RunningLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit of running jobs of one kind, at a place or anywhere. Pending jobs count.

    With `by: amount` it limits the sum of a named amount over all jobs there.
    """

    where: Where = ""  # SITE or SITE/ELEMENT; empty: all sites together
    by: CountedBy  # for `tag` and `amount`: one that the need asks for
    value: str
    most: Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]
    community: Whose = ""  # one community, or `*` for all together

    def __post_init__(self) -> None:
        check_value(self.by, self.value)


class StartLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit of starts per second of one kind, at a place or anywhere, after a burst."""

    where: Where = ""  # SITE or SITE/ELEMENT; empty: all sites together
    by: By  # for `tag`: one that the need asks for
    value: str
    per_s: Annotated[float, Meta(gt=0, le=1e9)]
    burst: Annotated[int, Meta(ge=1)] = 1  # starts allowed at once after a rest
    community: Whose = ""  # one community, or `*` for all together

    def __post_init__(self) -> None:
        check_value(self.by, self.value)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of the matcher."""

    # Platform of an offer → other platforms whose jobs it runs.
    compatible: dict[str, tuple[str, ...]] = {}
    keep_s: float = 2.0  # a job is kept for the pilot that was woken for it
    # "community", "community/group" or "community/group/owner" → weight among its siblings.
    shares: dict[str, float] = {}
    half_life_s: float = 604_800.0  # after which usage counts half
    running: tuple[RunningLimit, ...] = ()
    starts: tuple[StartLimit, ...] = ()
    banned: frozenset[str] = frozenset()  # sites, or site/element, that run only jobs of type Test
    wide_cores: int = 8  # a job with more cores is a scarce demand
    large_memory_per_core_mb: int = 4_000  # a job with more memory for each core is a scarce demand
    long_wall_s: float = 86_400  # a longer job is a scarce demand
    # How far ahead of the next owner a scarce demand may bring its owner.
    ahead_core_s: float = 691_200.0
    # How far the levels of siblings may lie apart, as a share of the charges of all running jobs.
    ahead: float = 0.25
    reserve_after_s: float = 600.0  # a wide job that has waited this long reserves an offer


DEFAULT_RULES = Rules()
