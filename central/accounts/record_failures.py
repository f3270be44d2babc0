"""Failed attempts, counted by hour."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from ..store.engine import takes_long
from ..store.session import Session, json_list

HOUR_S: Final = 3_600
KEEP_HOURS: Final = 400 * 24
EXAMPLES_MAX: Final = 5  # example jobs in a row, the newest ones
WORDS_MAX: Final = 8  # reasons in a row, the most frequent ones
ROWS_READ_MAX: Final = 2_000  # rows read for examples and reasons; counts use all rows


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class FailedEnd(_Record, frozen=True, kw_only=True):
    """One failed attempt, or several that were kept without details (then `job_id` is 0)."""

    community: str
    group: str
    owner_id: int
    site: str
    failure: str  # a FailureClass
    job_id: int
    is_last: bool  # its job has failed with it
    word: str  # the reason, without the parts that differ between attempts
    count: int = 1


class FailureSearch(_Record, frozen=True, kw_only=True):
    """Selects failures since an hour, counted from 1970. None means any value."""

    since: int
    community: str | None = None
    owner_ids: tuple[int, ...] | None = None
    groups: tuple[str, ...] | None = None
    site: str | None = None
    transformation_id: int | None = None


class FailureRow(_Record, frozen=True, kw_only=True):
    """Failures of one class at one site."""

    failure: str
    site: str
    attempts: int
    jobs: int  # jobs that failed with the attempt
    examples: tuple[int, ...] = ()  # job ids, newest first
    word: str = ""  # the most frequent reason
    word_count: int = 0


def merged_examples(newer: Sequence[int], older: Sequence[int]) -> list[int]:
    """Return the newest examples without duplicates."""
    return list(dict.fromkeys((*newer, *older)))[:EXAMPLES_MAX]


def merged_words(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Return the most frequent reasons of both. Equally frequent ones are sorted by name."""
    words = {word: one.get(word, 0) + other.get(word, 0) for word in {*one, *other}}
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:WORDS_MAX])


class FailureSum(msgspec.Struct):
    """The sums for one row."""

    attempts: int = 0
    jobs: int = 0
    examples: list[int] = []
    words: dict[str, int] = {}

    def add(self, end: FailedEnd) -> None:
        """Add one entry."""
        self.attempts += end.count
        self.jobs += end.count if end.is_last else 0
        if end.job_id:
            self.examples = merged_examples([end.job_id], self.examples)
        if end.word:
            self.words[end.word] = self.words.get(end.word, 0) + end.count

    def merge(self, older: "FailureSum") -> None:
        """Add the sums of an older row."""
        self.attempts += older.attempts
        self.jobs += older.jobs
        self.examples = merged_examples(self.examples, older.examples)
        self.words = merged_words(self.words, older.words)

    def row(self, failure: str, site: str) -> FailureRow:
        """Return the row to show."""
        word, count = next(iter(merged_words(self.words, {}).items()), ("", 0))
        return FailureRow(
            failure=failure,
            site=site,
            attempts=self.attempts,
            jobs=self.jobs,
            examples=tuple(self.examples),
            word=word,
            word_count=count,
        )


_decode_ids = msgspec.json.Decoder(list[int]).decode
_decode_words = msgspec.json.Decoder(dict[str, int]).decode


def keep_failures(
    session: Session, at: float, ends: Sequence[FailedEnd], *, drop: bool = True
) -> None:
    """Add failed attempts to the hour of `at`, each under the transformation of its job.

    With `drop`, it also removes the oldest hour if that is older than KEEP_HOURS.
    """
    hour = int(at) // HOUR_S
    ids = json_list([end.job_id for end in ends if end.job_id])
    of = dict(session.rows("transformations_of_jobs", {"ids": ids}))
    sums: defaultdict[tuple[str, str, int, int, str, str], FailureSum] = defaultdict(FailureSum)
    for end in ends:
        one = of.get(end.job_id, 0)
        sums[end.community, end.group, end.owner_id, one, end.site, end.failure].add(end)
    for (community, group, owner_id, transformation_id, site, failure), made in sums.items():
        key = {
            "hour": hour,
            "community": community,
            "group": group,
            "owner_id": owner_id,
            "transformation_id": transformation_id,
            "site": site,
            "failure": failure,
        }
        known = session.one("get_failures", key)
        if known is not None:
            attempts, jobs, examples, words = known
            made.merge(FailureSum(attempts, jobs, _decode_ids(examples), _decode_words(words)))
        given = {
            "attempts": made.attempts,
            "jobs": made.jobs,
            "examples": json_list(made.examples),
            "words": msgspec.json.encode(made.words).decode(),
        }
        session.run("put_failures", {**key, **given})
    if drop:
        _drop_old(session, hour - KEEP_HOURS)


@takes_long
def failures(session: Session, search: FailureSearch, *, limit: int) -> list[FailureRow]:
    """Return failures by class and site, the most frequent first."""
    fields: dict[str, object] = {
        "since": search.since,
        "community": search.community,
        "owners": None if search.owner_ids is None else json_list(search.owner_ids),
        "groups": None if search.groups is None else json_list(search.groups),
        "site": search.site,
        "transformation_id": search.transformation_id,
    }
    found = {
        (failure, site): FailureSum(attempts=attempts, jobs=jobs)
        for failure, site, attempts, jobs in session.rows(
            "count_failures", {**fields, "limit": limit}
        )
    }
    more = session.rows("examples_of_failures", {**fields, "limit": ROWS_READ_MAX})
    for failure, site, examples, words in more:
        known = found.get((failure, site))
        if known is not None:
            known.merge(FailureSum(examples=_decode_ids(examples), words=_decode_words(words)))
    return [one.row(failure, site) for (failure, site), one in found.items()]


def jobs_of_input(
    session: Session, transformation_id: int, file_id: int, *, limit: int
) -> list[int]:
    """Return the jobs of the last tasks of a transformation that used a file, oldest first."""
    given = {"transformation_id": transformation_id, "file_id": file_id, "limit": limit}
    return [row[0] for row in reversed(session.rows("jobs_of_input", given))]


def _drop_old(session: Session, before: int) -> None:
    """Remove the oldest hour if it is too old.

    After a long stop all hours may be too old. One at a time does not delay other writes.
    """
    oldest = session.one("oldest_failures")[0]
    if oldest is not None and oldest < before:
        session.run("drop_failures", {"before": min(before, oldest + 1)})
