"""The store: one writer with group commit, readers beside it.

What is written is spread over `submissions`, `jobs` and `pilots`, plain functions on the writer's
session; what is read is in `search`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final

from pilotage.proto.pilot_states import PilotState

from ..actions import Keep
from ..protocol import FIRST_TOKENS, NOTES_MAX, TOKEN_GROUPS_MAX, Room
from ..records import (
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
from . import jobs, pilots, submissions
from . import search as search_jobs
from .actions import ActionsVerbs, with_action
from .arrivals import ArrivalsVerbs
from .catalogue import CatalogueVerbs
from .data_jobs import DataJobsVerbs
from .failover import FailoverVerbs
from .moments import Moments
from .opened import Reader
from .pilot_logs import PilotLogsVerbs
from .place_marks import PlaceMarksVerbs
from .productions import ProductionsVerbs
from .quotas import QuotaVerbs
from .remnants import RemnantVerbs
from .retention import RetentionVerbs, remove_unnamed_classes
from .rows import (
    attempt_of,
    body_of,
    class_of,
    count_of,
    evidence_of,
    job_of,
    levels_of,
    live_attempt_of,
    note_of,
    owner_of,
    pilot_of,
    submission_of,
    token_of,
)
from .rules import RulesVerbs
from .series import SeriesVerbs
from .session import Session, Templates, json_list
from .slots import SlotsVerbs
from .transformations import TransformationsVerbs
from .turns import Turn
from .writer import Writer

CLASSES_FORGOTTEN_MAX: Final = 20_000  # that a start removes, if no job names them


class VerbStore(
    SeriesVerbs,
    RetentionVerbs,
    PilotLogsVerbs,
    SlotsVerbs,
    PlaceMarksVerbs,
    TransformationsVerbs,
    ProductionsVerbs,
    FailoverVerbs,
    CatalogueVerbs,
    RulesVerbs,
    RemnantVerbs,
    DataJobsVerbs,
    QuotaVerbs,
    ActionsVerbs,
    ArrivalsVerbs,
):
    """The `Store`, as far as it is the same on every database."""

    def __init__(
        self,
        writer: Writer[Session],
        reader: Reader,
        moments: Moments,
        generation: str,
        clock_wall: Callable[[], float],
    ) -> None:
        super().__init__(writer, reader, moments, generation)
        self._clock_wall = clock_wall
        self._templates = Templates()

    def activity(self) -> Activity:
        return Activity(operations=self._writer.operations, commits=self._writer.commits)

    async def close(self) -> None:
        """Finish what is queued; the driver closes its connections after that."""
        await self._writer.close()
        await asyncio.to_thread(self._moments.close)

    # -- interning ------------------------------------------------------------------------------

    async def owner(self, owner: Owner) -> Owner:
        return await self._writer.run(partial(submissions.intern_owner, owner=owner))

    async def find_owner(self, community: str, issuer: str, subject: str) -> Owner | None:
        named = {"community": community, "issuer": issuer, "subject": subject}
        found = await self._reader.one("get_owner", named)
        return None if found is None else owner_of(found)

    async def classes(self, wanted: Sequence[JobClass]) -> list[int]:
        write = partial(submissions.intern_classes, wanted=wanted)
        return await self._writer.run(write, rows=len(wanted))

    # -- submission -----------------------------------------------------------------------------

    async def submit(self, new: NewSubmission, jobs: Sequence[NewJob]) -> SubmissionRecord:
        write = partial(submissions.submit, new=new, jobs=jobs)
        return await self._writer.run(write, rows=1 + len(jobs))

    async def begin_submission(self, new: NewSubmission) -> SubmissionRecord:
        return await self._writer.run(partial(submissions.begin_chunks, new=new))

    async def add_jobs(self, submission_id: int, jobs: Sequence[NewJob]) -> int:
        write = partial(submissions.add_chunk, submission_id=submission_id, jobs=jobs)
        return await self._writer.run(write, rows=len(jobs))

    async def finish_submission(self, submission_id: int, body_hash: str) -> SubmissionRecord:
        write = partial(submissions.finish, submission_id=submission_id, body_hash=body_hash)
        return await self._writer.run(write)

    async def drop_submission(self, submission_id: int) -> None:
        write = partial(submissions.drop_some, submission_id=submission_id)
        while await self._writer.run(write, rows=2_000):
            pass

    async def submission(self, submission_id: int) -> SubmissionRecord | None:
        found = await self._reader.one("get_submission", {"submission_id": submission_id})
        return None if found is None else submission_of(found)

    async def submission_by_key(
        self, community: str, owner_id: int, key: str
    ) -> SubmissionRecord | None:
        fields = {"community": community, "owner_id": owner_id, "key": key}
        found = await self._reader.one("get_submission_by_key", fields)
        return None if found is None else submission_of(found)

    # -- jobs -----------------------------------------------------------------------------------

    async def standing(self, job_ids: Sequence[int]) -> dict[int, Standing]:
        # In the writer: only there it is certain that all writes before it are seen.
        return await self._writer.run(partial(jobs.standing, job_ids=job_ids))

    async def move(self, moves: Sequence[Move], keep: Keep | None = None) -> list[bool]:
        write = with_action(partial(jobs.move, moves=moves), keep)
        return await self._writer.run(write, rows=len(moves))

    async def want(self, wants: Sequence[Want], keep: Keep | None = None) -> list[bool]:
        write = with_action(partial(jobs.want, wants=wants), keep)
        return await self._writer.run(write, rows=len(wants))

    async def delete(
        self, job_ids: Sequence[int], at: float, who: str, keep: Keep | None = None
    ) -> list[bool]:
        write = with_action(partial(jobs.delete, job_ids=job_ids, at=at, who=who), keep)
        return await self._writer.run(write, rows=len(job_ids))

    async def set_priority(
        self,
        job_ids: Sequence[int],
        priority: int,
        at: float,
        who: str,
        keep: Keep | None = None,
    ) -> list[bool]:
        write = partial(jobs.set_priority, job_ids=job_ids, priority=priority, at=at, who=who)
        return await self._writer.run(with_action(write, keep), rows=len(job_ids))

    async def bodies(self, job_ids: Sequence[int]) -> dict[int, JobBody]:
        rows = await self._reader.rows("bodies", {"ids": json_list(job_ids)})
        found: dict[int, JobBody] = {}
        for row in rows:
            found[row[0]] = body_of(row, await self._template(row[1]))
        return found

    async def _template(self, submission_id: int) -> bytes | None:
        if submission_id not in self._templates:
            row = await self._reader.one("get_template", {"submission_id": submission_id})
            self._templates.keep(submission_id, row[0] if row else None)
        return self._templates.get(submission_id)

    async def job(self, job_id: int) -> JobRow | None:
        found = await self._reader.one("job_rows", {"ids": json_list([job_id])})
        return None if found is None else job_of(found)

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, JobRow]:
        if not job_ids:
            return {}
        rows = await self._reader.rows("job_rows", {"ids": json_list(job_ids)})
        return {job.job_id: job for job in map(job_of, rows)}

    async def search(self, search: Search, *, after: int, limit: int) -> list[JobRow]:
        found: list[JobRow] = []
        while (wanted := limit - len(found)) > 0:
            ids = await search_jobs.find(self._reader, search, after=after, limit=wanted)
            rows = await self._reader.rows("job_rows", {"ids": json_list(ids)}) if ids else []
            found += [job_of(row) for row in rows]
            if len(ids) < wanted:
                break
            # The retention may have removed jobs between the two reads. A short page would say
            # that no job follows it, so the next jobs fill it.
            after = ids[-1]
        return found

    async def ids(self, search: Search, *, limit: int) -> list[int]:
        return await search_jobs.find(self._reader, search, after=0, limit=limit)

    async def counts(self) -> list[CountRow]:
        return [count_of(row) for row in await self._reader.rows("counts", {})]

    async def notes(self, job_id: int) -> list[Note]:
        fields = {"job_id": job_id, "limit": NOTES_MAX}
        return [note_of(row) for row in await self._reader.rows("notes", fields)]

    async def ids_given(self) -> dict[str, int]:
        return {row[0]: row[1] for row in await self._reader.rows("next_ids", {})}

    # -- attempts -------------------------------------------------------------------------------

    async def reserve_attempts(self, count: int) -> int:
        return await self._writer.run(lambda session: session.reserve("attempt", count))

    async def match(self, attempts: Sequence[NewAttempt]) -> list[JobBody | None]:
        return (await self.turn([], attempts))[1]

    async def change(self, changes: Sequence[Change]) -> list[bool]:
        return (await self.turn(changes, []))[0]

    async def turn(
        self, changes: Sequence[Change], attempts: Sequence[NewAttempt], room: Room | None = None
    ) -> tuple[list[bool], list[JobBody | None]]:
        turn = Turn(changes, attempts, room)
        return await self._writer.run(turn, rows=len(changes) + len(attempts))

    async def keep_evidence(self, evidence: Sequence[Evidence]) -> None:
        write = partial(jobs.keep_evidence, evidence=evidence)
        await self._writer.run(write, rows=len(evidence))

    async def evidence(self, job_id: int) -> list[Evidence]:
        return [evidence_of(row) for row in await self._reader.rows("evidence", {"job_id": job_id})]

    async def attempts(self, job_id: int) -> list[AttemptRow]:
        return [attempt_of(row) for row in await self._reader.rows("attempts", {"job_id": job_id})]

    # -- rebuild --------------------------------------------------------------------------------

    def waiting(self) -> AsyncIterator[list[tuple[int, int, int, int, float | None]]]:
        return search_jobs.waiting(self._reader)

    async def live_attempts(self) -> list[LiveAttempt]:
        return [live_attempt_of(row) for row in await self._reader.rows("live_attempts", {})]

    async def live_classes(self) -> list[JobClass]:
        return [class_of(row) for row in await self._reader.rows("live_classes", {})]

    async def classes_given(self, class_ids: Sequence[int]) -> list[JobClass]:
        given = {"ids": json_list(class_ids)}
        return [class_of(row) for row in await self._reader.rows("classes_given", given)]

    async def owners(self) -> list[Owner]:
        return [owner_of(row) for row in await self._reader.rows("all_owners", {})]

    async def keep_levels(self, levels: Levels) -> None:
        await self._writer.run(partial(jobs.keep_levels, levels=levels))

    async def levels(self) -> Levels | None:
        found = await self._reader.one("levels", {})
        return None if found is None else levels_of(found)

    # -- pilots ---------------------------------------------------------------------------------

    async def add_secrets(self, secrets: Sequence[NewSecret]) -> None:
        write = partial(pilots.add_secrets, secrets=secrets)
        await self._writer.run(write, rows=2 * len(secrets))

    async def register(self, registration: Registration) -> PilotRow:
        return await self._writer.run(partial(pilots.register, registration=registration))

    async def hello(self, pilot: str, nonce: str, session: int = 0) -> PilotRow:
        opened = partial(pilots.hello, pilot=pilot, nonce=nonce, number=session)
        return await self._writer.run(opened)

    async def rotate_secret(self, pilot: str, number: int, mark: str) -> PilotRow:
        rotated = partial(pilots.rotate_secret, pilot=pilot, number=number, mark=mark)
        return await self._writer.run(rotated)

    async def pilot(self, pilot: str) -> PilotRow | None:
        found = await self._reader.one("get_pilot", {"pilot": pilot})
        return None if found is None else pilot_of(found)

    async def pilots(
        self,
        community: str | None,
        *,
        states: Sequence[PilotState],
        after: str,
        limit: int,
        site: str = "",
    ) -> list[PilotRow]:
        fields = {
            "community": community,
            "site": site,
            "states": json_list([state.value for state in states]) if states else None,
            "after": after,
            "limit": limit,
        }
        return [pilot_of(row) for row in await self._reader.rows("pilots", fields)]

    async def move_pilot(
        self, pilot: str, old: PilotState, new: PilotState, at: float, reason: str
    ) -> bool:
        write = partial(pilots.move_pilot, pilot=pilot, old=old, new=new, at=at, reason=reason)
        return await self._writer.run(write)

    async def order_pilot(self, pilot: str, told: str = "") -> None:
        await self._writer.run(partial(pilots.order_pilot, pilot=pilot, told=told))

    # -- tokens ---------------------------------------------------------------------------------

    async def add_token(self, token: TokenRow) -> None:
        await self._writer.run(partial(pilots.add_token, token=token))

    async def revoke_token(self, jti: str, at: float) -> bool:
        return await self._writer.run(partial(pilots.revoke_token, jti=jti, at=at))

    async def token(self, jti: str) -> TokenRow | None:
        found = await self._reader.one("token", {"jti": jti})
        return None if found is None else token_of(found)

    async def tokens(
        self,
        community: str | None,
        subject: tuple[str, str] | None = None,
        *,
        before: tuple[float, str] = FIRST_TOKENS,
        limit: int,
    ) -> list[TokenRow]:
        issuer, name = subject or (None, None)
        fields = {
            "community": community,
            "issuer": issuer,
            "subject": name,
            "issued_at": before[0],
            "jti": before[1],
            "limit": limit,
        }
        return [token_of(row) for row in await self._reader.rows("tokens", fields)]

    async def unexpired_tokens(self, issuer: str, subject: str, *, limit: int) -> int:
        named = {"issuer": issuer, "subject": subject, "now": self._clock_wall(), "limit": limit}
        count: int = (await self._reader.one("unexpired_tokens", named))[0]
        return count

    async def token_groups(self) -> list[tuple[str, str]]:
        rows = await self._reader.rows("token_groups", {"limit": TOKEN_GROUPS_MAX})
        return [(community, group) for community, group in rows]

    async def revoked(self) -> list[tuple[str, float]]:
        rows = await self._reader.rows("revoked", {"now": self._clock_wall()})
        return [(jti, expires_at) for jti, expires_at in rows]

    async def revoked_mark(self) -> tuple[int, float]:
        count, moments = await self._reader.one("revoked_mark", {"now": self._clock_wall()})
        return count, moments


def made_ready(session: Session, at: float) -> str:
    """Give a new store its generation, remove what never finished; return the generation."""
    session.begin()
    session.run("make_generation", {"at": at})
    session.commit()
    for (submission_id,) in session.rows("arriving_submissions"):
        while _drop_some(session, submission_id):
            pass
    generation: str = session.one("get_generation")[0]
    return generation


def forget_classes(session: Session) -> None:
    """Remove classes that no job names: only now it is certain that nobody knows their ids."""
    session.begin()
    remove_unnamed_classes(session, CLASSES_FORGOTTEN_MAX)
    session.commit()


def _drop_some(session: Session, submission_id: int) -> bool:
    session.begin()
    more = submissions.drop_some(session, submission_id)
    session.commit()
    return more
