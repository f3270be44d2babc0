"""What the matcher knows, for looking at: explanations change nothing."""

from collections.abc import Container

import msgspec

from .backlog import Backlog
from .clause import Clauses
from .indexes import Indexes
from .limits import Limits
from .reserve import Reservations
from .shares import Shares


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that explanations ask."""

    clauses: Clauses
    backlog: Backlog
    indexes: Indexes
    shares: Shares
    limits: Limits
    reservations: Reservations
    kept_for: Container[str] = ()  # pilots that were woken, each for a job that is kept for it
