"""Bodies of requests and answers about quotas."""

from typing import Annotated, Literal

from msgspec import Meta

from ..decoding.patterns import whole
from .bodies import ReplyStruct as _Out, RequestStruct as _In

_SHOWN = "[^\\x00-\\x1f\\x7f]"  # no control characters
_Community = Annotated[str, Meta(pattern=whole(f"{_SHOWN}+"), max_length=64)]
_Name = Annotated[str, Meta(pattern=whole(f"{_SHOWN}*"), max_length=384)]

Kind = Literal["community", "group", "owner"]  # of what has a quota
_Amount = Annotated[int, Meta(ge=0, le=1 << 53)]


class UsageRow(_Out, frozen=True):
    """What a community, a group or an owner uses now, and the most; None: no limit."""

    kind: Kind
    community: str
    name: str  # of the group or owner; of a community: empty
    jobs: int  # that have not ended
    jobs_max: int | None
    bytes: int  # inputs and outputs that the central keeps
    bytes_max: int | None


class UsageView(_Out, frozen=True):
    """The quotas that hold for the caller. Operators see every row."""

    rows: list[UsageRow]


class QuotaChange(_In, frozen=True):
    """Set the limits of one community, group or owner, in place of those set before."""

    kind: Kind
    community: _Community
    name: _Name = ""  # of the group or owner, as `usage` shows it
    jobs: _Amount | None = None  # unended; 0: none may be; nothing: no limit
    bytes: _Amount | None = None  # kept; 0: none may be kept; nothing: no limit
    remove: bool = False  # the default from the settings applies again
