"""What a store holds, compared with what was said to be certain."""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from pilotage.proto.job_states import JobState

Rows = dict[object, tuple[object, ...]]


class Found:
    """Everything of a store, read at once beside the code that is under test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        connection = sqlite3.connect(f"file:{folder / 'store.sqlite'}?mode=ro", uri=True)
        self.damage = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        self.damage += [str(row) for row in connection.execute("PRAGMA foreign_key_check")]

        def rows(sql: str) -> Rows:
            return {row[0]: row for row in connection.execute(sql)}

        self.generation = connection.execute("SELECT generation FROM store").fetchone()[0]
        self.counters = rows("SELECT name, next FROM counter")
        self.submissions = rows("SELECT key, complete, ranges FROM submission")
        self.jobs = rows("SELECT job_id, state, deleted, epoch FROM job")
        self.attempts = rows(
            "SELECT attempt_id, job_id, live, open, wanted, how, event FROM attempt"
        )
        self.evidence = rows("SELECT CAST(report AS TEXT), job_id FROM evidence")
        self.pilots = rows("SELECT pilot, session FROM pilot")
        self.secrets = rows("SELECT pilot, nonce FROM secret")
        self.tokens = rows("SELECT jti, revoked_at FROM token")
        connection.close()

    def lost(self, said: Iterable[str]) -> list[str]:
        """Return the facts that do not hold any more, and the damage."""
        found = [f"damage: {one}" for one in self.damage if one != "ok"]
        for line in said:
            kind, *words = line.split()
            check: Callable[..., bool] = getattr(self, f"_{kind}")
            try:
                holds = check(*words)
            except KeyError:  # its row is not there at all
                holds = False
            if not holds:
                found.append(line)
        return found

    def unfinished(self) -> list[object]:
        """Return what stands there without being whole: a submission that was still arriving."""
        return [key for key, (_, complete, _) in self.submissions.items() if not complete]

    def _generation(self, generation: str) -> bool:
        return bool(self.generation == generation)

    def _submitted(self, key: str, first: str, count: str) -> bool:
        row = self.submissions.get(key)
        if row is None or not row[1]:
            return False
        ranges = msgspec.json.decode(str(row[2]))
        ids = range(int(first), int(first) + int(count))
        return ranges == [[ids.start, len(ids)]] and all(one in self.jobs for one in ids)

    def _reserved(self, attempt: str) -> bool:
        return int(str(self.counters["attempt"][1])) > int(attempt)

    def _matched(self, attempt: str, job: str) -> bool:
        row = self.attempts.get(int(attempt))
        return row is not None and row[1] == int(job)

    def _ended(self, attempt: str, job: str) -> bool:
        row, (_, state, *_) = self.attempts[int(attempt)], self.jobs[int(job)]
        return row[5] == "exited" and state == JobState.DONE.value and not row[2]

    def _requeued(self, attempt: str, job: str) -> bool:
        row, (_, state, _, epoch) = self.attempts[int(attempt)], self.jobs[int(job)]
        return row[6] == "lease_over" and not row[2] and (state, epoch) == ("Waiting", 1)

    def _wanted(self, attempt: str) -> bool:
        return self.attempts[int(attempt)][4] == "kill"

    def _killed(self, job: str) -> bool:
        return self.jobs[int(job)][1] == JobState.KILLED.value

    def _deleted(self, job: str) -> bool:
        return bool(self.jobs[int(job)][2])

    def _evidence(self, job: str, key: str) -> bool:
        return self.evidence.get(key, ("", 0))[1] == int(job)

    def _pilot(self, pilot: str, session: str) -> bool:
        row = self.pilots.get(pilot)
        return row is not None and int(str(row[1])) >= int(session) and pilot in self.secrets

    def _token(self, jti: str) -> bool:
        return jti in self.tokens

    def _revoked(self, jti: str) -> bool:
        return jti in self.tokens and self.tokens[jti][1] is not None

    def _blob(self, name: str) -> bool:
        return (self._folder / "blobs" / name[:2] / name[2:]).is_file()
