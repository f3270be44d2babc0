"""Collects failed attempts as they end, until they are written to the store. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from pilotage.proto.failures import FailureClass, likeness

from ..identity.scope import CountKey
from .record_failures import FailedEnd

ENDS_MAX: Final = 20_000  # attempts kept with details; further ones are only counted
WORDS_MAX: Final = 1_000  # different reasons; further ones are dropped
_AS_IT_IS: Final = ("exit code ", "signalled: signal ")  # reasons whose numbers matter

FailureGroup = tuple[CountKey, int, str, FailureClass]  # kind, owner id, site, class


class FailureRest(msgspec.Struct, gc=False):
    """The number of attempts that were kept without details."""

    attempts: int = 0
    last: int = 0


class FailureTally:
    """The failed attempts. Successful attempts cost nothing here."""

    def __init__(self, ends_max: int = ENDS_MAX) -> None:
        self._ends_max = ends_max
        self._ends: list[FailedEnd] = []
        self._rests: defaultdict[FailureGroup, FailureRest] = defaultdict(FailureRest)
        self._words: set[str] = set()

    def add(
        self,
        kind: CountKey,
        owner_id: int,
        site: str,
        failure: FailureClass,
        *,
        job: int,
        is_last: bool,
        said: str,
    ) -> None:
        """Add one attempt. `is_last` means that its job has failed with it."""
        if len(self._ends) >= self._ends_max:
            rest = self._rests[kind, owner_id, site, failure]
            rest.attempts += 1
            rest.last += is_last
            return
        self._ends.append(
            FailedEnd(
                community=kind.community,
                group=kind.group,
                owner_id=owner_id,
                site=site,
                failure=failure.value,
                job_id=job,
                is_last=is_last,
                word=self._word(said),
            )
        )

    def _word(self, said: str) -> str:
        word = said[:40] if said.startswith(_AS_IT_IS) else likeness(said[:400])
        if word not in self._words:
            if len(self._words) >= WORDS_MAX:
                return ""
            self._words.add(word)
        return word

    def take(self) -> list[FailedEnd]:
        """Return all failed attempts and start again with none."""
        ends, self._ends, self._words = self._ends, [], set()
        rests, self._rests = self._rests, defaultdict(FailureRest)
        for (kind, owner_id, site, failure), rest in rests.items():
            for is_last, count in ((True, rest.last), (False, rest.attempts - rest.last)):
                if count:
                    ends.append(
                        FailedEnd(
                            community=kind.community,
                            group=kind.group,
                            owner_id=owner_id,
                            site=site,
                            failure=failure.value,
                            job_id=0,
                            is_last=is_last,
                            word="",
                            count=count,
                        )
                    )
        return ends

    def give_back(self, taken: Sequence[FailedEnd]) -> None:
        """Add attempts back that could not be written. Beyond the limit, only count them."""
        both = [*taken, *self._ends]
        self._ends = both[: self._ends_max]
        sums: defaultdict[FailedEnd, int] = defaultdict(int)
        for end in both[self._ends_max :]:
            sums[msgspec.structs.replace(end, job_id=0, word="", count=1)] += end.count
        self._ends += [msgspec.structs.replace(end, count=n) for end, n in sums.items()]
