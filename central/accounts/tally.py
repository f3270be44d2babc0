"""Adds up the resources of attempts as they end, until the sums are written. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping

import msgspec

from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Usage

from ..identity.scope import CountKey
from ..observe.metrics import histogram
from .counters import Counters
from .failed_attempts import FailureTally
from .record_series import AccountEntry, AccountSums, SeriesSample

KEYS_MAX = 2_000  # series in one slot; further ones count as type "other"
OTHER = "other"
# Buckets from a script to a whole node.
PEAKS_MB = (1, 10, 30, 100, 300, 1e3, 2e3, 4e3, 8e3, 16e3, 32e3, 64e3, 128e3, 256e3, 1e6)

UsageGroup = tuple[CountKey, int, str]  # kind, owner id, site
UsageKey = tuple[str, str, str]  # community, site, type


class UsageTotals(msgspec.Struct, gc=False):
    """Mutable sums, with the fields of `AccountSums` in the same order."""

    done: int = 0
    failed: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    core_s: float = 0.0
    hs23_s: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0

    def add(self, more: "UsageTotals") -> None:
        """Add other sums to these."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(more, name))

    def sums(self) -> AccountSums:
        """Return the sums as a record."""
        return AccountSums.of(msgspec.structs.astuple(self))


assert UsageTotals.__struct_fields__ == AccountSums.__struct_fields__, (
    "UsageTotals must have the fields of AccountSums"
)


class SiteUsage(msgspec.Struct, gc=False):
    """The resources that attempts have used at one site."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0


class UsageSinceStart:
    """The resources that attempts have used since the start of this central, for metrics."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()  # number of ended attempts by `how`
        self.sites: defaultdict[str, SiteUsage] = defaultdict(SiteUsage)
        self.memory_peak_mb = histogram("pilotage_attempt_memory_peak_megabytes", PEAKS_MB)
        self.scratch_peak_mb = histogram("pilotage_attempt_scratch_peak_megabytes", PEAKS_MB)

    def add(self, site: str, usage: Usage) -> None:
        here = self.sites[site]
        here.cpu_s += usage.cpu_s
        here.wall_s += usage.wall_s
        here.bytes_in += usage.bytes_in
        here.bytes_out += usage.bytes_out
        self.memory_peak_mb.observe(usage.memory_peak_mb)
        self.scratch_peak_mb.observe(usage.scratch_peak_mb)


class Tally:
    """Sums by kind, owner and site. The end of an attempt costs only a few additions."""

    def __init__(self) -> None:
        self._rows: defaultdict[UsageGroup, UsageTotals] = defaultdict(UsageTotals)
        self.used = UsageSinceStart()
        self.failed = FailureTally()

    def ended(
        self,
        kind: CountKey,
        owner_id: int,
        site: str,
        new: JobState,
        *,
        usage: Usage,
        cores: int,
        hs23_per_core: float,
    ) -> None:
        """Add the usage of one ended attempt, and its job if that has ended."""
        row = self._rows[kind, owner_id, site]
        row.done += new is JobState.DONE
        row.failed += new is JobState.FAILED
        core_s = usage.wall_s * cores
        row.cpu_s += usage.cpu_s
        row.wall_s += usage.wall_s
        row.core_s += core_s
        row.hs23_s += core_s * hs23_per_core
        row.bytes_in += usage.bytes_in
        row.bytes_out += usage.bytes_out
        self.used.add(site, usage)

    def take(self) -> Mapping[UsageGroup, UsageTotals]:
        """Return the sums and start again from zero."""
        taken, self._rows = self._rows, defaultdict(UsageTotals)
        return taken

    def give_back(self, taken: Mapping[UsageGroup, UsageTotals]) -> None:
        """Add sums back that could not be written."""
        for group, row in taken.items():
            self._rows[group].add(row)


def entries(taken: Mapping[UsageGroup, UsageTotals]) -> list[AccountEntry]:
    """Return the sums to add to the accounts."""
    return [
        AccountEntry(
            community=kind.community,
            group=kind.group,
            owner_id=owner_id,
            type=kind.type,
            site=site,
            sums=row.sums(),
        )
        for (kind, owner_id, site), row in taken.items()
    ]


def samples(taken: Mapping[UsageGroup, UsageTotals], counters: Counters) -> list[SeriesSample]:
    """Return one slot of the series: its sums, and the jobs that wait and run now."""
    sums: defaultdict[UsageKey, UsageTotals] = defaultdict(UsageTotals)
    levels: defaultdict[UsageKey, list[int]] = defaultdict(lambda: [0, 0])
    for kind, site, state, count in counters.rows():
        if state is JobState.WAITING:
            levels[_key(levels, kind, site)][0] += count
        elif state is JobState.RUNNING:
            levels[_key(levels, kind, site)][1] += count
    for (kind, _, site), row in taken.items():
        sums[_key(sums, kind, site)].add(row)
    return [
        SeriesSample(
            community=key[0],
            site=key[1],
            type=key[2],
            waiting=levels[key][0],
            running=levels[key][1],
            sums=sums[key].sums(),
        )
        for key in sorted(levels.keys() | sums.keys())
    ]


def _key(known: Mapping[UsageKey, object], kind: CountKey, site: str) -> UsageKey:
    key = (kind.community, site, kind.type)
    full = len(known) >= KEYS_MAX and key not in known
    return (kind.community, site, OTHER) if full else key
