"""Numbers of jobs by kind, site and state, in memory. They change after each commit. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from pilotage.proto.api.jobs import Summary, SummaryBy, SummaryRow
from pilotage.proto.job_states import FINAL, JobState

from ..identity.scope import CountKey


class Counters:
    """Numbers of jobs by (kind, site, state). The start builds them from the store."""

    def __init__(self) -> None:
        self._counts: defaultdict[CountKey, dict[tuple[str, JobState], int]] = defaultdict(dict)
        # Ended jobs that the store still counts as unended, by kind.
        # If such a job runs again, the store counts it when it moves the job.
        self.ended: dict[CountKey, int] = {}
        self.recount_due = False  # the store was full when its jobs had to be counted

    def add(self, kind: CountKey, site: str, state: JobState, count: int = 1) -> None:
        """Add jobs, or remove them with a negative count."""
        of_kind, where = self._counts[kind], (site, state)
        now = of_kind.get(where, 0) + count
        if now:
            of_kind[where] = now
        else:
            of_kind.pop(where, None)
            if not of_kind:  # types of jobs are free words, so the number of kinds is unbounded
                del self._counts[kind]

    def move(
        self,
        kind: CountKey,
        old: tuple[str, JobState],
        new: tuple[str, JobState],
        *,
        count: int = 1,
    ) -> None:
        """Move jobs from one (site, state) to another."""
        if old == new:
            return
        if new[1] in FINAL and old[1] not in FINAL:
            self.ended[kind] = self.ended.get(kind, 0) + count
        of_kind = self._counts[kind]
        left = of_kind.get(old, 0) - count
        if left:
            of_kind[old] = left
        else:
            of_kind.pop(old, None)
        came = of_kind.get(new, 0) + count
        if came:
            of_kind[new] = came
        else:
            del of_kind[new]
            if not of_kind:
                del self._counts[kind]

    def rows(self) -> Iterable[tuple[CountKey, str, JobState, int]]:
        for kind, of_kind in self._counts.items():
            for (site, state), count in of_kind.items():
                yield kind, site, state, count

    def total(self, *states: JobState) -> int:
        """Return the number of jobs in these states, in all communities."""
        return sum(count for _, _, state, count in self.rows() if state in states)

    def summary(
        self, by: SummaryBy, *, community: str, groups: frozenset[str] | None, owner: str | None
    ) -> Summary:
        """Return the counts within these restrictions. None and '' mean no restriction."""
        table: defaultdict[str, Counter[JobState]] = defaultdict(Counter)
        for kind, site, state, count in self.rows():
            if community and kind.community != community:
                continue
            if groups is not None and kind.group not in groups:
                continue
            if owner is not None and kind.owner != owner:
                continue
            table[_key(by, kind, site)][state] += count
        rows = [SummaryRow(key=key, counts=dict(counts)) for key, counts in sorted(table.items())]
        total = sum(sum(row.counts.values()) for row in rows)
        return Summary(by=by, total=total, rows=rows)


def _key(by: SummaryBy, kind: CountKey, site: str) -> str:
    match by:
        case SummaryBy.STATE:
            return ""
        case SummaryBy.SITE:
            return site
        case SummaryBy.TYPE:
            return kind.type
        case SummaryBy.GROUP:
            return kind.group
        case SummaryBy.OWNER:
            return kind.owner
