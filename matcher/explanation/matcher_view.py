"""A read-only view of the matcher's state: explanations change nothing."""

from collections.abc import Container

import msgspec

from ..clauses.clause import Clauses
from ..index.community_indexes import Indexes
from ..limits.fair_shares import Shares
from ..limits.running_limits import LimitTable
from ..queue.backlog import Backlog
from ..reservations.reservations import Reservations


class MatcherState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that explanations read."""

    clauses: Clauses
    backlog: Backlog
    indexes: Indexes
    shares: Shares
    limits: LimitTable
    reservations: Reservations
    kept_for: Container[str] = ()  # pilots that were woken, each with a job kept for it
