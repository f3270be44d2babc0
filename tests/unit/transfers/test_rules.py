"""What is missing of a file under a rule, as a table; and how long a failure waits."""

import pytest

from pilotage.central.catalogue.remnants import pause_s
from pilotage.central.transfers.record import RuleProgress, TransferRow
from pilotage.central.transfers.rules import FAILURES_MAX, RuleCount, judge
from pilotage.proto.catalogue import ReplicaState, RuleState

NOW = 1_000.0
STORAGES = ("a", "b", "c")

# Of a storage: G good copy, B bad, M missing, C copying; o open transfer, f failed once (it may be
# tried), w failed once and waits, s failed too often; - nothing. X: a good copy elsewhere.
#  copies  a b c   elsewhere   there moving ready later stuck
TABLE = """
   1       G - -   -           1     0      -     0     0
   2       G - -   -           1     0      b     0     0
   3       G - -   -           1     0      b,c   0     0
   2       - - -   X           0     0      a,b   0     0
   2       - - -   -           0     0      -     0     2
   2       B - -   -           0     0      -     0     2
   2       B G -   -           1     0      a     0     0
   2       M G -   -           1     0      a     0     0
   2       G o -   -           1     1      -     0     0
   3       G o -   -           1     1      c     0     0
   2       G f -   -           1     0      b     0     0
   2       G w -   -           1     0      c     0     0
   2       G w w   -           1     0      -     1     0
   2       G s -   -           1     0      c     0     0
   2       G s s   -           1     0      -     0     1
   3       G s w   -           1     0      -     1     1
   1       G G G   -           1     0      -     0     0
   2       - o o   -           0     2      -     0     0
"""


def a_transfer(storage: str, letter: str) -> TransferRow:
    failures = {"o": 0, "f": 1, "w": 1, "s": FAILURES_MAX}[letter]
    return TransferRow(
        transfer_id=1,
        rule_id=1,
        file_id=1,
        storage=storage,
        is_open=letter == "o",
        failures=failures,
        not_before=NOW + 1 if letter == "w" else NOW,
    )


@pytest.mark.parametrize("line", [line.split() for line in TABLE.strip().splitlines()])
def test_what_is_missing_follows_from_copies_and_transfers(line: list[str]) -> None:
    copies, *letters = line[:4]
    elsewhere, *wanted = line[4:]
    words = {
        "G": ReplicaState.AVAILABLE,
        "B": ReplicaState.BAD,
        "M": ReplicaState.MISSING,
        "C": ReplicaState.COPYING,
    }
    by_storage = dict(zip(STORAGES, letters, strict=True))
    replicas = {name: words[one] for name, one in by_storage.items() if one in words}
    if elsewhere == "X":
        replicas["elsewhere"] = ReplicaState.AVAILABLE
    transfers = {name: a_transfer(name, one) for name, one in by_storage.items() if one in "ofws"}
    verdict = judge(int(copies), STORAGES, replicas, transfers, NOW)

    found = [verdict.there, verdict.moving, ",".join(verdict.ready) or "-", verdict.later]
    assert [str(one) for one in [*found, verdict.stuck]] == wanted
    missing = verdict.moving + len(verdict.ready) + verdict.later + verdict.stuck
    assert verdict.there + missing == int(copies)


def test_counts_say_how_far_a_rule_is() -> None:
    count = RuleCount()
    good = {"a": ReplicaState.AVAILABLE}
    count.add(judge(1, STORAGES, good, {}, NOW))
    ok = count.state
    count.add(judge(2, STORAGES, good, {}, NOW))
    replicating = count.state
    count.add(judge(1, STORAGES, {}, {}, NOW))

    assert [ok, replicating, count.state] == [RuleState.OK, RuleState.REPLICATING, RuleState.STUCK]
    assert count.tally(ordered=1) == RuleProgress(files=3, there=2, moving=1, wanted=0, stuck=1)


def test_failures_wait_longer_and_longer() -> None:
    assert [pause_s(n) for n in (1, 2, 3, 9, 1_000)] == [60, 240, 960, 21_600, 21_600]
