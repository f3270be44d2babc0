"""The life of every attempt on this node, from its assignment to the answer to its last report.

It only decides, and returns commands. It implements the rules P3, P5, P6 and P7 of PROTOCOL. Pure.
"""

import dataclasses
import math

from pilotage.proto.messages import (
    CHECKPOINT_FILE,
    KEPT_FOLDER,
    Answer,
    Assignment,
    Attempt,
    How,
    Output,
    Report,
    ReportAnswer,
    Stop,
    What,
    Why,
)
from pilotage.proto.storages import BadCopy, Leftover, Published, Removed

from ..ports import Ended
from .commands import (
    Abandon,
    Collect,
    Command,
    Follow,
    Forget,
    KeepAssignment,
    KeepEnded,
    MoveFence,
    Stage,
    StartPayload,
    StopPayload,
    UploadAgain,
    WriteLog,
)
from .holdings import (
    FENCE_LEFT_MIN,
    AttemptPhase,
    HeldAttempt,
    HeldAttempts,
    leaves_data,
    wants_staging,
)
from .report_texts import fit, names
from .reports import ReportOutbox, fitting
from .slots import Slots

GRACE_S = 10.0  # seconds between the soft signal and SIGKILL
STARTED_LATER_S = 0.25  # `ended` implies `started`: a shorter payload reports only `ended`
REFUSED_AGAIN_S = 600.0  # interval for an end that was refused: an updated central may accept it
STOPS_MAX = 10_000
OWN_OUTPUTS = KEPT_FOLDER + "/"  # the kept streams; the loss of one spoils no result

# The guard's words for ends that it caused. SIGKILL after the fence comes only after hours without
# an answer.
_GUARD_WORDS = {
    "wall": How.WALL,
    "cpu": How.CPU,
    "memory": How.MEMORY,
    "scratch": How.SCRATCH,
    "streams": How.STREAMS,
    "processes": How.PROCESSES,
    "stalled": How.STALLED,
    "fence": How.LOST,
    "killed": How.KILLED,
}


class Payloads:
    """Attempts, their slots, their reports, and the stops that came before their attempt."""

    def __init__(
        self, slots: Slots, holdings: HeldAttempts, reports: ReportOutbox, isolation: str
    ) -> None:
        self._slots, self._holdings, self._reports = slots, holdings, reports
        self._isolation = isolation
        self._stops: dict[Attempt, float] = {}  # until when they are remembered
        self._followed: frozenset[int] = frozenset()
        self._out: list[Command] = []
        self._starts: list[Command] = []

    def take(self) -> list[Command]:
        """Return the commands since the last call.

        Starts come last: by then, all that arrived with them is in the journal, with one sync.
        """
        out, self._out, self._starts = [*self._out, *self._starts], [], []
        return out

    # -- arrival and start ----------------------------------------------------------------------

    def arrive(
        self, assignment: Assignment, *, fence: float, wall_left_s: float, now: float
    ) -> bool:
        """Accept or decline an assignment; return whether it was booked."""
        attempt = Attempt(assignment.job, assignment.epoch)
        if self._holdings.of(attempt) is not None:
            return True
        holding = HeldAttempt(
            attempt,
            assignment.attempt_id,
            assignment.lease_s,
            fence,
            AttemptPhase.STAGING,
            assignment,
        )
        self._holdings.add(holding)
        if self._stops.pop(attempt, now) > now:
            self._end(holding, How.KILLED, now, detail="stopped before it arrived")
            return False
        why = self._unfit(assignment, fence, wall_left_s, now)
        if why:
            self._out.append(WriteLog("declined", {**_name(holding), "why": why}))
            self._end(holding, How.DECLINED, now, detail=why)
            return False
        self._slots.book(assignment.attempt_id, assignment.grant)
        self._out.append(KeepAssignment(assignment))
        if wants_staging(assignment):
            self._starts.append(Stage(assignment))
        else:
            self._start(holding)
        if assignment.follow:
            self.follow(attempt)
        return True

    def _unfit(self, assignment: Assignment, fence: float, wall_left_s: float, now: float) -> str:
        if fence - now < FENCE_LEFT_MIN * assignment.lease_s:
            return f"{max(0.0, fence - now):.1f} s left to its fence"
        if not self._slots.fits(assignment.grant):
            return "it no longer fits: cores, memory, disk, GPUs or a named amount are taken"
        return _too_long(assignment, wall_left_s)

    def _start(self, holding: HeldAttempt) -> None:
        assert holding.assignment is not None
        holding.phase = AttemptPhase.STARTING
        self._starts.append(StartPayload(holding.assignment, holding.fence))

    def staged(
        self, attempt_id: int, isolation: str, image: str, wall_left_s: float, now: float
    ) -> None:
        """Handle inputs and outfit in place, on the rung `isolation` and in `image`, if any."""
        holding = self._holdings.by_id(attempt_id)
        if holding is None or holding.phase is not AttemptPhase.STAGING:
            return
        assert holding.assignment is not None
        why = _too_long(holding.assignment, wall_left_s)
        if why:
            self._end(holding, How.DECLINED, now, detail=f"{why} when its inputs were ready")
            return
        holding.isolation, holding.image = isolation, image
        self._start(holding)

    def staging_failed(self, attempt_id: int, why: str, now: float, how: How = How.INPUT) -> None:
        """End an attempt without usable inputs (NO_START: useless anywhere) or outfit."""
        holding = self._holdings.by_id(attempt_id)
        if holding is not None and holding.phase is AttemptPhase.STAGING:
            self._end(holding, how, now, detail=why)

    def guard_gone(self, now: float) -> None:
        """Decline what has not been started: no payload can start any more.

        Nothing comes later: the pilot drains, which closes its ask.
        """
        for holding in self._holdings.all():
            if holding.phase is AttemptPhase.STAGING:
                self._out.append(Abandon(holding.attempt_id))
                self._end(holding, How.DECLINED, now, detail="the guard of the pilot has died")

    def found_bad(self, attempt_id: int, bad: tuple[BadCopy, ...]) -> None:
        """Record bad copies of its data for its last report."""
        holding = self._holdings.by_id(attempt_id)
        if holding is not None:
            holding.bad_copies = bad

    def started(self, attempt_id: int, now: float) -> None:
        """Record that the guard has started it."""
        holding = self._holdings.by_id(attempt_id)
        if holding is None or holding.phase is not AttemptPhase.STARTING:
            return
        holding.phase = AttemptPhase.RUNNING
        report = Report(
            job=holding.attempt.job,
            epoch=holding.attempt.epoch,
            attempt_id=attempt_id,
            n=self._reports.number(attempt_id),
            what=What.STARTED,
            isolation=holding.isolation or self._isolation,
            image=holding.image,
        )
        self._reports.put(report, at=now, due=now + STARTED_LATER_S)

    def warned(self, attempt_id: int, said: str, now: float) -> None:
        """Record its warning signal, for its history once the central knows that it runs."""
        holding = self._holdings.by_id(attempt_id)
        if holding is not None and holding.phase is AttemptPhase.RUNNING:
            holding.warned = said
            self._tell_news(holding, now)

    def note(self, attempt_id: int, said: str, now: float) -> None:
        """Keep a note for its history, which is sent once the central knows that it runs."""
        holding = self._holdings.by_id(attempt_id)
        if holding is None or holding.phase in (AttemptPhase.COLLECTING, AttemptPhase.ENDED):
            return
        holding.notes = (*holding.notes, said)
        if holding.phase is AttemptPhase.RUNNING:
            self._tell_news(holding, now)

    def _tell_news(self, holding: HeldAttempt, now: float) -> None:
        """Report a warning or notes. A report replaces the one before it, which may be the start.

        An end that comes before the answer takes unanswered notes along.
        """
        if self._reports.get(holding.attempt_id) is not None:
            return
        if holding.warned:
            said, holding.warned = f"warned: {holding.warned}", ""
        elif holding.notes:
            said, holding.noting = "; ".join(holding.notes), len(holding.notes)
        else:
            return
        report = Report(
            job=holding.attempt.job,
            epoch=holding.attempt.epoch,
            attempt_id=holding.attempt_id,
            n=self._reports.number(holding.attempt_id),
            what=What.PROGRESS,
            status=said,
        )
        self._reports.put(report, at=now, due=now)

    def not_started(self, attempt_id: int, why: str, now: float) -> None:
        """End an attempt that the guard could not start."""
        holding = self._holdings.by_id(attempt_id)
        if holding is not None and holding.alive:
            self._end(holding, holding.stopping or How.NO_START, now, detail=why)

    # -- end ------------------------------------------------------------------------------------

    def gone(self, ended: Ended, now: float) -> None:
        """Handle the end of the last process: the slot is free, the output is not yet uploaded."""
        holding = self._holdings.by_id(ended.attempt_id)
        if holding is None or not holding.alive:
            return
        self._slots.release(ended.attempt_id)
        holding.gone, holding.ended_at = ended, now
        if holding.stale:
            self._end(holding, How.STALE, now)
            return
        assert holding.assignment is not None
        holding.phase = AttemptPhase.COLLECTING
        body, how = holding.assignment.body, _how(holding, ended)
        succeeded = how is How.EXITED and ended.exit_code in body.success_codes
        self._out.append(
            Collect(
                holding.assignment,
                outputs=how is How.EXITED,
                checkpoint=bool(body.checkpoint) and not (succeeded or holding.for_good),
                data=succeeded and leaves_data(holding.assignment),
            )
        )

    def collected(
        self,
        attempt_id: int,
        outputs: tuple[Output, ...],
        absent: tuple[str, ...],
        failure: str,
        now: float,
        *,
        note: str = "",
        bytes_in: int = 0,
        bytes_out: int = 0,
        published: tuple[Published, ...] = (),
        removed: tuple[Removed, ...] = (),
        leftovers: tuple[Leftover, ...] = (),
        failed_as: How = How.OUTPUT,
    ) -> None:
        """End an attempt after its outputs were uploaded.

        `absent` are required patterns without a match, and `note` is a further message.
        `published`, `removed` and `leftovers` are the results on storages.
        """
        holding = self._holdings.by_id(attempt_id)
        if holding is None or holding.phase is not AttemptPhase.COLLECTING or holding.gone is None:
            return
        usage = dataclasses.replace(holding.gone.usage, bytes_in=bytes_in, bytes_out=bytes_out)
        holding.gone = dataclasses.replace(holding.gone, usage=usage)
        gone = holding.gone
        how, detail = _how(holding, gone), holding.said or gone.detail or gone.why
        assert holding.assignment is not None
        succeeded = (
            how is How.EXITED and holding.gone.exit_code in holding.assignment.body.success_codes
        )
        if failure and how is How.EXITED:
            how, detail = failed_as, failure
        elif absent and succeeded:
            how, detail = How.OUTPUT, "no file matches " + names(absent)
        elif gone.warned and how is How.EXITED and not succeeded and _saved(outputs):
            how = How.CHECKPOINTED
            detail = f"was warned, left its checkpoint, ended with exit code {gone.exit_code}"
        detail = "; ".join(one for one in (detail, note) if one)
        if how is not How.EXITED:
            published = removed = leftovers = ()
        self._end(
            holding,
            how,
            now,
            detail=detail,
            outputs=outputs,
            published=published,
            removed=removed,
            leftovers=leftovers,
        )

    def undelivered(self, attempt_id: int, why: str) -> bool:
        """Record a failed delivery of its result; return whether that is news."""
        holding = self._holdings.by_id(attempt_id)
        if holding is None or holding.ended_at is None:
            return False
        is_first, holding.undelivered = not holding.undelivered, fit(why)
        return is_first

    def lost(self, attempt_id: int, now: float) -> None:
        """End an attempt that is dead on this host and boot, without a known end."""
        holding = self._holdings.by_id(attempt_id)
        if holding is not None and holding.phase is not AttemptPhase.ENDED:
            self._slots.release(attempt_id)
            self._end(holding, How.LOST, now)

    def unknown(self, attempt_id: int) -> None:
        """Drop an attempt with an unknown end: it runs into its lease."""
        holding = self._holdings.by_id(attempt_id)
        if holding is not None:
            self._over(holding)

    def restore(self, report: Report, at: float) -> None:
        """Restore an unanswered last report of an earlier process."""
        attempt = Attempt(report.job, report.epoch)
        holding = HeldAttempt(attempt, report.attempt_id, math.inf, 0.0, AttemptPhase.ENDED)
        holding.ended_at = at
        self._holdings.add(holding)
        self._reports.put(report, at=at, due=at)

    def restore_assignment(self, assignment: Assignment, now: float) -> None:
        """Restore an attempt of an earlier process that is known to be dead."""
        attempt = Attempt(assignment.job, assignment.epoch)
        holding = HeldAttempt(attempt, assignment.attempt_id, math.inf, 0.0, AttemptPhase.ENDED)
        self._holdings.add(holding)
        self._end(holding, How.LOST, now)

    def _end(
        self,
        holding: HeldAttempt,
        how: How,
        now: float,
        *,
        detail: str = "",
        outputs: tuple[Output, ...] = (),
        published: tuple[Published, ...] = (),
        removed: tuple[Removed, ...] = (),
        leftovers: tuple[Leftover, ...] = (),
    ) -> None:
        """Record the end of an attempt in the journal, then report it to the central."""
        self._slots.release(holding.attempt_id)
        holding.phase = AttemptPhase.ENDED
        if holding.ended_at is None:
            holding.ended_at = now
        gone = holding.gone
        if gone is not None and gone.signal is not None and not detail:
            detail = f"signal {gone.signal}"
        detail = "; ".join(one for one in (detail, *holding.notes) if one)
        report = Report(
            job=holding.attempt.job,
            epoch=holding.attempt.epoch,
            attempt_id=holding.attempt_id,
            n=self._reports.number(holding.attempt_id),
            what=What.ENDED,
            how=how,
            exit_code=gone.exit_code if gone is not None else None,
            detail=detail,
            isolation=holding.isolation or self._isolation,
            image=holding.image,
            usage=gone.usage if gone is not None else None,
            outputs=outputs,
            published=published,
            bad_copies=holding.bad_copies,
            removed=removed,
            leftovers=leftovers,
        )
        report = self._reports.put(report, at=now, due=now)
        self._out.append(KeepEnded(report, now))
        self._unfollow(holding.attempt_id)

    # -- orders of the central -------------------------------------------------------------------

    def stop(self, stop: Stop, now: float, remember_s: float) -> None:
        """End an attempt, or remember the stop if it arrived before the attempt."""
        attempt = Attempt(stop.job, stop.epoch)
        holding = self._holdings.of(attempt)
        if holding is not None:
            holding.for_good = holding.for_good or stop.why is Why.KILL
            self.end_softly(holding, How.KILLED, now, detail=stop.why.value)
            return
        self._stops = {known: until for known, until in self._stops.items() if until > now}
        if len(self._stops) < STOPS_MAX:
            self._stops[attempt] = now + remember_s

    def end_softly(self, holding: HeldAttempt, how: How, now: float, *, detail: str) -> None:
        """End with a soft signal, a grace and SIGKILL; without a payload, end at once."""
        if holding.alive:
            if holding.stopping is None:
                holding.stopping, holding.said = how, detail
                self._out.append(StopPayload(holding.attempt_id, GRACE_S))
        elif holding.phase is AttemptPhase.STAGING:
            self._out.append(Abandon(holding.attempt_id))
            self._end(holding, how, now, detail=detail)

    def stale(self, attempt: Attempt, now: float) -> None:
        """Kill and forget an attempt that the central does not know any more."""
        holding = self._holdings.of(attempt)
        if holding is None or holding.stale:
            return
        holding.stale = True
        self._reports.drop(holding.attempt_id)
        self._out.append(WriteLog("stale", _name(holding)))
        if holding.alive:
            holding.stopping = How.STALE
            self._out.append(StopPayload(holding.attempt_id, 0.0))
        else:
            self._out.append(Abandon(holding.attempt_id))
            self._end(holding, How.STALE, now)

    def renewed(self, listed: tuple[Attempt, ...], stale: tuple[Attempt, ...], sent: float) -> None:
        """Move the fences of the attempts in an answered heartbeat."""
        for holding in self._holdings.renew(listed, frozenset(stale), sent):
            if holding.alive:
                self._out.append(MoveFence(holding.attempt_id, holding.fence))

    def follow(self, attempt: Attempt) -> None:
        """Record that a further user watches this attempt."""
        holding = self._holdings.of(attempt)
        if holding is not None and holding.phase is not AttemptPhase.ENDED:
            self._followed |= {holding.attempt_id}
            self._out.append(Follow(self._followed, anew=frozenset({holding.attempt_id})))

    def follow_only(self, attempts: tuple[Attempt, ...]) -> None:
        """Record that users watch only these attempts."""
        held = (self._holdings.of(attempt) for attempt in attempts)
        self._watch(
            frozenset(one.attempt_id for one in held if one and one.phase is not AttemptPhase.ENDED)
        )

    def _unfollow(self, attempt_id: int) -> None:
        self._watch(self._followed - {attempt_id})

    def _watch(self, followed: frozenset[int]) -> None:
        if followed != self._followed:
            self._followed = followed
            self._out.append(Follow(followed))

    # -- answers to reports ---------------------------------------------------------------------

    def answered(self, answer: ReportAnswer, now: float) -> None:
        """Handle the answer to a report; an answer to an older report changes nothing."""
        holding = self._holdings.of(Attempt(answer.job, answer.epoch))
        if holding is None:
            return
        unanswered = self._reports.answered(holding.attempt_id, answer.n)
        if unanswered is None:
            return
        if answer.answer is Answer.MISSING:
            unanswered.uploading = True
            self._out.append(UploadAgain(holding.attempt_id, answer.missing))
        elif unanswered.report.what is What.ENDED:
            self._over(holding)
        else:
            self._reports.drop(holding.attempt_id)
            if answer.answer is Answer.STALE:
                self.stale(holding.attempt, now)
            else:
                holding.notes, holding.noting = holding.notes[holding.noting :], 0
                self._tell_news(holding, now)

    def uploaded(
        self, attempt_id: int, unavailable: frozenset[str], now: float, *, quota: str = ""
    ) -> None:
        """Handle uploaded blobs.

        `unavailable` are hashes without files, or blobs for which a `quota` has no space.
        """
        unanswered = self._reports.get(attempt_id)
        holding = self._holdings.by_id(attempt_id)
        if unanswered is None or holding is None:
            return
        unanswered.uploading = False
        unanswered.due = now
        gone = [one for one in unanswered.report.outputs if one.sha256 in unavailable]
        if not gone:
            return
        spoilt = [one.name for one in gone if not one.name.startswith(OWN_OUTPUTS)]
        how, why = How.OUTPUT, "lost before they were stored: "
        if quota:
            how, why = How.QUOTA, f"{quota}: "
        unanswered.report = fitting(
            dataclasses.replace(
                unanswered.report,
                n=self._reports.number(attempt_id),
                outputs=tuple(one for one in unanswered.report.outputs if one not in gone),
                how=how if spoilt else unanswered.report.how,
                detail=why + names(spoilt) if spoilt else unanswered.report.detail,
            )
        )
        self._out.append(KeepEnded(unanswered.report, unanswered.at))

    def unreadable(self, attempt_id: int, why: str, now: float, *, leaving: bool) -> None:
        """Repeat a refused report without its variable parts.

        If that is refused too, the end stays held, and is repeated later: the central would give an
        unlisted attempt to the next pilot, where it would end in the same way. Only a pilot that is
        `leaving`, and accepts no more work, forgets it.
        """
        holding = self._holdings.by_id(attempt_id)
        unanswered = self._reports.get(attempt_id)
        if holding is None or unanswered is None or self._reports.simplify(attempt_id):
            return
        if unanswered.report.what is not What.ENDED:
            self._out.append(WriteLog("report_dropped", {**_name(holding), "why": why}))
            self._reports.drop(attempt_id)
        elif leaving:
            self._out.append(WriteLog("report_dropped", {**_name(holding), "why": why}))
            self._over(holding)
        else:
            self._out.append(WriteLog("end_refused", {**_name(holding), "why": why}))
            unanswered.due = now + REFUSED_AGAIN_S

    def _over(self, holding: HeldAttempt) -> None:
        self._slots.release(holding.attempt_id)
        self._unfollow(holding.attempt_id)
        self._holdings.remove(holding)
        self._reports.forget(holding.attempt_id)
        self._out.append(Forget(holding.attempt_id))


def _saved(outputs: tuple[Output, ...]) -> bool:
    """Return whether a checkpoint is among the uploaded files."""
    return any(one.name == CHECKPOINT_FILE for one in outputs)


def _how(holding: HeldAttempt, ended: Ended) -> How:
    if holding.stopping is not None:
        return holding.stopping
    if ended.why:
        return _GUARD_WORDS.get(ended.why, How.OTHER)
    return How.SIGNALLED if ended.signal is not None else How.EXITED


def _name(holding: HeldAttempt) -> dict[str, object]:
    return {"job": holding.attempt.job, "epoch": holding.attempt.epoch}


def _too_long(assignment: Assignment, wall_left_s: float) -> str:
    """Return why there is not enough time for a payload; empty: there is enough."""
    if assignment.grant.wall_s <= wall_left_s:
        return ""
    return f"needs {assignment.grant.wall_s:.0f} s, but only {max(0.0, wall_left_s):.0f} s are left"
