"""A pilot's journal in which everything happens that happens to it, and which says what is certain.

    journal_life.py FOLDER FIRST ATTEMPTS DIE_AFTER [unsynced]

Facts: `identity N`, `assigned A`, `ended A`, `forgotten A`. The last word plants a journal that
does not sync.
"""

import os
import sys
from pathlib import Path

from pilotage.pilot import journal as shipped
from tests.faults.telling import Teller

LOG_BYTES_MAX = 6_000  # instead of 4 MiB, so that the log is often written anew
HELD = 4


def content_of(word: str, number: int) -> bytes:
    return b'{"%s":%d,"more":"%s"}' % (word.encode(), number, b"x" * (number * 37 % 400))


def main(folder: Path, first: int, attempts: int, die_after: int) -> None:
    journal, say = shipped.FileJournal(folder), Teller(die_after)
    journal.identity()
    journal.keep_identity(content_of("identity", first))
    say("identity", first)
    for number in range(first, first + attempts):
        journal.keep_assignment(number, content_of("assigned", number))
        journal.sync()
        say("assigned", number)
        if number % 7 == 0:
            journal.keep_identity(content_of("identity", number))
            say("identity", number)
        if number % 3 == 0:
            continue  # this one is held for longer
        journal.keep_ended(number, content_of("ended", number))
        journal.sync()
        say("ended", number)
        if number - HELD >= first:
            say("forgotten", number - HELD)  # from now on it may be gone, and may come back
            journal.forget(number - HELD)


if __name__ == "__main__":
    shipped.LOG_BYTES_MAX = LOG_BYTES_MAX
    if sys.argv[5:] == ["unsynced"]:
        os.fdatasync = lambda _: None  # type: ignore[assignment]
    main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5]))
