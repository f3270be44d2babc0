"""What the matcher knows, for looking at: explanations change nothing."""

from collections.abc import Container

import msgspec

from ..clauses.clause import Clauses
from ..index.community_indexes import Indexes
from ..limits.fair_shares import Shares
from ..limits.running_limits import LimitTable
from ..queue.backlog import Backlog
from ..reservations.reservations import Reservations


class MatcherState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that explanations ask."""

    clauses: Clauses
    backlog: Backlog
    indexes: Indexes
    shares: Shares
    limits: LimitTable
    reservations: Reservations
    kept_for: Container[str] = ()  # pilots that were woken, each for a job that is kept for it
