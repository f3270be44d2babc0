"""Failed attempts as they are counted: by hour, and by whose they were, where and of what class."""

from collections.abc import Sequence
from typing import Final

import msgspec

HOUR_S: Final = 3_600
KEEP_HOURS: Final = 400 * 24
EXAMPLES_MAX: Final = 5  # jobs that a row names, the newest
WORDS_MAX: Final = 8  # that a row has, the most frequent
ROWS_READ_MAX: Final = 2_000  # for examples and words; the counts are of all


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class FailedEnd(_Record, frozen=True, kw_only=True):
    """One failed attempt, or some that nobody could keep one by one (`job_id` 0)."""

    community: str
    group: str
    owner_id: int
    site: str
    failure: str  # a FailureClass
    job_id: int
    is_last: bool  # its job has failed with it
    word: str  # what was said of it, without what differs from one attempt to the next
    count: int = 1


class FailureSearch(_Record, frozen=True, kw_only=True):
    """Which failures, from an hour since 1970 on; None: any."""

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
    jobs: int  # that failed with the attempt
    examples: tuple[int, ...] = ()  # jobs, the newest first
    word: str = ""  # the most frequent one
    word_count: int = 0


def merged_examples(newer: Sequence[int], older: Sequence[int]) -> list[int]:
    """Return the newest, each once."""
    return list(dict.fromkeys((*newer, *older)))[:EXAMPLES_MAX]


def merged_words(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Return the most frequent of both, equal ones in order of the word."""
    words = {word: one.get(word, 0) + other.get(word, 0) for word in {*one, *other}}
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:WORDS_MAX])


class Sum(msgspec.Struct):
    """What comes together in one row."""

    attempts: int = 0
    jobs: int = 0
    examples: list[int] = []
    words: dict[str, int] = {}

    def add(self, end: FailedEnd) -> None:
        """Add one end."""
        self.attempts += end.count
        self.jobs += end.count if end.is_last else 0
        if end.job_id:
            self.examples = merged_examples([end.job_id], self.examples)
        if end.word:
            self.words[end.word] = self.words.get(end.word, 0) + end.count

    def merge(self, older: "Sum") -> None:
        """Add what an older row has."""
        self.attempts += older.attempts
        self.jobs += older.jobs
        self.examples = merged_examples(self.examples, older.examples)
        self.words = merged_words(self.words, older.words)

    def row(self, failure: str, site: str) -> FailureRow:
        """Return it as it is shown."""
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
