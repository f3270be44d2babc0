"""Bodies of requests and answers about quotas."""

from typing import Annotated, Literal

from msgspec import Meta

from ..decoding.patterns import whole
from .bodies import ReplyStruct as _Out, RequestStruct as _In

_SHOWN = "[^\\x00-\\x1f\\x7f]"  # no control characters
_Community = Annotated[str, Meta(pattern=whole(f"{_SHOWN}+"), max_length=64)]
_Name = Annotated[str, Meta(pattern=whole(f"{_SHOWN}*"), max_length=384)]

QuotaKind = Literal["community", "group", "owner"]  # of what has a quota
_Amount = Annotated[int, Meta(ge=0, le=1 << 53)]


class UsageRow(_Out, frozen=True):
    """Use and limits of a community, group or owner; null: no limit."""

    kind: QuotaKind
    community: str
    name: str
    jobs: int  # jobs that have not ended
    jobs_max: int | None
    bytes: int  # kept inputs and outputs
    bytes_max: int | None


class UsageView(_Out, frozen=True):
    """The quotas that apply to the caller. Operators see all."""

    rows: list[UsageRow]


class QuotaChange(_In, frozen=True):
    """Set or remove the quota of a community, group or owner."""

    kind: QuotaKind
    community: _Community
    name: _Name = ""  # of the group or owner, as `usage` shows it
    jobs: _Amount | None = None  # jobs that have not ended; 0: none; null: no limit
    bytes: _Amount | None = None  # kept bytes; 0: none; null: no limit
    remove: bool = False  # go back to the default from the settings
