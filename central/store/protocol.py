"""The store as the services see it. One contract suite (`tests/contract`) runs on every driver.

Verbs take batches. A call returns when its transaction is synced to disk; several calls share a
transaction (group commit), and one that fails leaves the others alone. Compare-and-set verbs
return one bool per item: False means that the row had changed, and nothing was written for it.
Any verb raises StoreFull (nothing written) or StoreBroken (end the process).
"""

import math
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

from pilotage.proto.pilot_states import PilotState

from .actions import Actions, Keep
from .arrivals import Arrivals
from .catalogue import CatalogueStore
from .data_jobs import DataJobs
from .failover import FailoverStore
from .pilot_logs import PilotLogs
from .place_marks import PlaceMarks
from .productions import Productions
from .protocol_retention import RetentionStore
from .protocol_series import SeriesStore
from .quotas import QuotaStore
from .records import (
    Activity,
    AttemptRow,
    Change,
    CountRow,
    Evidence,
    JobBody,
    JobClass,
    JobRow,
    Levels,
    LiveAttempt,
    Move,
    NewAttempt,
    NewJob,
    NewSecret,
    NewSubmission,
    Note,
    Owner,
    PilotRow,
    Registration,
    Search,
    Standing,
    SubmissionRecord,
    TokenRow,
    Want,
)
from .remnants import RemnantStore
from .rules import RuleStore
from .slots import Slots
from .transformations import Transformations

Room = Callable[[list[JobBody | None]], int]
EVIDENCE_MAX = 8  # rows that are kept of one attempt of a pilot
NOTES_MAX = 1000  # of one job that are read: who changes it again and again adds any number
FIRST_TOKENS: Final = (math.inf, "")  # before the first page of tokens, which are newest first
TOKEN_GROUPS_MAX = 100_000
CHUNK_MAX = 1000  # rows a transaction of a bulk: others wait no longer than for one of these


class Store(
    SeriesStore,
    RetentionStore,
    PilotLogs,
    Slots,
    PlaceMarks,
    Transformations,
    Productions,
    FailoverStore,
    CatalogueStore,
    RuleStore,
    RemnantStore,
    DataJobs,
    QuotaStore,
    Actions,
    Arrivals,
    Protocol,
):
    """Durable state of one central. See the module for what all verbs share.

    What is counted beside the jobs is in `protocol_series`, failed attempts as they are counted in
    `failures`, what goes after a time in `protocol_retention`, the logs of pilots in `pilot_logs`,
    slots of elements in `slots`, marks of sites in `place_marks`, transformations in
    `transformations`, what failover keeps of them in `failover`, productions in `productions`,
    files and their metadata in `catalogue`, rules in `rules`, bytes that no file names any more in
    `remnants`, jobs that use files in `data_jobs`, quotas and
    what counts towards them in `quotas`, actions of people and their keys in `actions`,
    what other processes take in in `arrivals`.
    """

    @property
    def generation(self) -> str:
        """Identity of this store's past; another one after a restore."""
        ...

    def activity(self) -> Activity:
        """Return how much was written since the store was opened."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then close."""
        ...

    # -- interning ------------------------------------------------------------------------------

    async def owner(self, owner: Owner) -> Owner:
        """Return the owner with its id, by (community, issuer, subject); a new one is stored."""
        ...

    async def find_owner(self, community: str, issuer: str, subject: str) -> Owner | None:
        """Return a stored owner."""
        ...

    async def classes(self, wanted: Sequence[JobClass]) -> list[int]:
        """Return a class id for each, in order, by all other fields; new ones are stored."""
        ...

    # -- submission -----------------------------------------------------------------------------

    async def submit(self, new: NewSubmission, jobs: Sequence[NewJob]) -> SubmissionRecord:
        """Store a complete submission of at most CHUNK_MAX jobs in one transaction.

        A known (community, owner, key) with the same body returns the first submission, `repeated`;
        with another body raises KeyReused, one that is unfinished StillArriving.
        """
        ...

    async def begin_submission(self, new: NewSubmission) -> SubmissionRecord:
        """Open a submission that arrives in chunks; its jobs are visible nowhere until `finish`.

        Returns the first one where the key is known (complete or not) as `repeated`, whatever its
        body: its hash comes with the end.
        """
        ...

    async def add_jobs(self, submission_id: int, jobs: Sequence[NewJob]) -> int:
        """Append at most CHUNK_MAX jobs; return the first of their consecutive ids.

        Raises ValueError for a longer chunk; SubmissionDropped where the submission takes no more:
        it is gone, taken for abandoned, or complete.
        """
        ...

    async def finish_submission(self, submission_id: int, body_hash: str) -> SubmissionRecord:
        """Make all jobs of the submission visible, in state Waiting.

        `body_hash` is known only now: the body was streamed. One that is complete stays as it is.
        Raises SubmissionDropped where it is gone or taken for abandoned.
        """
        ...

    async def drop_submission(self, submission_id: int) -> None:
        """Remove an unfinished submission and its jobs; its key is free again, its ids are not."""
        ...

    async def submission(self, submission_id: int) -> SubmissionRecord | None: ...

    async def submission_by_key(
        self, community: str, owner_id: int, key: str
    ) -> SubmissionRecord | None: ...

    # -- jobs -----------------------------------------------------------------------------------

    async def standing(self, job_ids: Sequence[int]) -> dict[int, Standing]:
        """Return where each job stands, behind all writes before; unknown ids are left out."""
        ...

    async def move(self, moves: Sequence[Move], keep: Keep | None = None) -> list[bool]:
        """Move jobs without a live attempt, with a note each.

        Raises OverQuota, and moves none, where too many ended jobs would run again.
        """
        ...

    async def want(self, wants: Sequence[Want], keep: Keep | None = None) -> list[bool]:
        """Write what is wanted of live attempts, with a note each; `kill` is never overwritten."""
        ...

    async def delete(
        self, job_ids: Sequence[int], at: float, who: str, keep: Keep | None = None
    ) -> list[bool]:
        """Mark jobs that are final and not deleted yet."""
        ...

    async def set_priority(
        self,
        job_ids: Sequence[int],
        priority: int,
        at: float,
        who: str,
        keep: Keep | None = None,
    ) -> list[bool]:
        """Change the priority of jobs that are not final."""
        ...

    async def bodies(self, job_ids: Sequence[int]) -> dict[int, JobBody]: ...

    async def job(self, job_id: int) -> JobRow | None: ...

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, JobRow]:
        """Return jobs by their ids, of one moment; unknown ids are left out."""
        ...

    async def search(self, search: Search, *, after: int, limit: int) -> list[JobRow]:
        """Return jobs with an id greater than `after`, in order of the id."""
        ...

    async def ids(self, search: Search, *, limit: int) -> list[int]:
        """Return the ids that match, in order; at most `limit`."""
        ...

    async def counts(self) -> list[CountRow]:
        """Count all visible jobs that are not deleted, for the counters in memory."""
        ...

    async def notes(self, job_id: int) -> list[Note]:
        """Return the newest NOTES_MAX notes of a job, oldest first."""
        ...

    async def ids_given(self) -> dict[str, int]:
        """Return the next id of each kind, as committed. None of them ever goes back."""
        ...

    # -- attempts -------------------------------------------------------------------------------

    async def reserve_attempts(self, count: int) -> int:
        """Take `count` attempt ids out of the counter row for ever; return the first."""
        ...

    async def match(self, attempts: Sequence[NewAttempt]) -> list[JobBody | None]:
        """Write matches, each judged by itself; None where the job was not Waiting at that epoch.

        An attempt of an earlier epoch that is still open is closed.
        """
        ...

    async def change(self, changes: Sequence[Change]) -> list[bool]:
        """Apply changes in order, in one transaction, each a compare-and-set by itself."""
        ...

    async def turn(
        self, changes: Sequence[Change], attempts: Sequence[NewAttempt], room: Room | None = None
    ) -> tuple[list[bool], list[JobBody | None]]:
        """`change`, then `match`, in one transaction: what a pilot's turn writes.

        `room` is given the bodies of the jobs, and says how many of the first attempts are
        written; the others are left alone, and are not in the answer. It may be called twice.
        """
        ...

    async def keep_evidence(self, evidence: Sequence[Evidence]) -> None:
        """Keep reports that do not count; of one attempt of a pilot at most EVIDENCE_MAX."""
        ...

    async def evidence(self, job_id: int) -> list[Evidence]: ...

    async def attempts(self, job_id: int) -> list[AttemptRow]:
        """Return all attempts of a job, oldest first."""
        ...

    # -- rebuild --------------------------------------------------------------------------------

    def waiting(self) -> AsyncIterator[list[tuple[int, int, int, int, float | None]]]:
        """Yield slices of (class_id, priority, job_id, epoch, queue_until) of all jobs that wait,
        in order of the id."""
        ...

    async def live_attempts(self) -> list[LiveAttempt]:
        """Return all live attempts, and the open ones of jobs that wait again."""
        ...

    async def live_classes(self) -> list[JobClass]:
        """Return the classes of which a job waits, is matched or runs."""
        ...

    async def classes_given(self, class_ids: Sequence[int]) -> list[JobClass]:
        """Return the classes with these ids, in order of the id."""
        ...

    async def owners(self) -> list[Owner]: ...

    async def keep_levels(self, levels: Levels) -> None:
        """Replace what was kept before."""
        ...

    async def levels(self) -> Levels | None:
        """Return what was kept last."""
        ...

    # -- pilots ---------------------------------------------------------------------------------

    async def add_secrets(self, secrets: Sequence[NewSecret]) -> None:
        """Store hashed bootstrap secrets, and a pilot row in state Submitted for each."""
        ...

    async def register(self, registration: Registration) -> PilotRow:
        """Use a secret: session 1, state Running. Idempotent by (secret, nonce): nothing is
        changed then. Raises BadSecret."""
        ...

    async def hello(self, pilot: str, nonce: str, session: int = 0) -> PilotRow:
        """Open a session, 0: the next; the same nonce again gives the same one.

        One that is not later than the last is not opened: the row has another nonce then. Raises
        PilotNotFound."""
        ...

    async def rotate_secret(self, pilot: str, number: int, mark: str) -> PilotRow:
        """Use renewal secret `number`; `mark` tells its nonce by `records.MARK` characters.

        Return the row. Nothing is written if that secret was used before: `used` of the row says
        with which nonce. Raises PilotNotFound."""
        ...

    async def pilot(self, pilot: str) -> PilotRow | None: ...

    async def pilots(
        self,
        community: str | None,
        *,
        states: Sequence[PilotState],
        after: str,
        limit: int,
        site: str = "",
    ) -> list[PilotRow]:
        """Return pilots in order of their name; no states, no site: all."""
        ...

    async def move_pilot(
        self, pilot: str, old: PilotState, new: PilotState, at: float, reason: str
    ) -> bool:
        """Compare-and-set of a pilot's state. One that is Draining has the order to, for good."""
        ...

    async def order_pilot(self, pilot: str, told: str = "") -> None:
        """Keep that a pilot is to drain, whatever its state is and becomes.

        With `told`, that it does not wait for what it holds."""
        ...

    # -- tokens ---------------------------------------------------------------------------------

    async def add_token(self, token: TokenRow) -> None: ...

    async def revoke_token(self, jti: str, at: float) -> bool:
        """Mark a token revoked; False where there is none or it is revoked already."""
        ...

    async def token(self, jti: str) -> TokenRow | None: ...

    async def tokens(
        self,
        community: str | None,
        subject: tuple[str, str] | None = None,
        *,
        before: tuple[float, str] = FIRST_TOKENS,
        limit: int,
    ) -> list[TokenRow]:
        """Return tokens, newest first: of a community or of all, of (issuer, subject) or of all.

        `before` is the moment and the jti of the last one of the page before.
        """
        ...

    async def unexpired_tokens(self, issuer: str, subject: str, *, limit: int) -> int:
        """Count somebody's tokens that have not expired, revoked ones too, up to `limit`."""
        ...

    async def token_groups(self) -> list[tuple[str, str]]:
        """Return (community, group) of all tokens, and (community, "") of each; at most
        TOKEN_GROUPS_MAX."""
        ...

    async def revoked(self) -> list[tuple[str, float]]:
        """Return (jti, expiry) of revoked tokens that have not expired."""
        ...

    async def revoked_mark(self) -> tuple[int, float]:
        """Return what is another pair of numbers when others are `revoked`."""
        ...
