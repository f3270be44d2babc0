"""The newest report of each attempt, numbered, repeated until the central has answered it. Pure."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Optional

from pilotage.proto.messages import How, Report

from .report_texts import fit

# The text of a report whose full form was refused; it contains nothing that could be refused.
UNREADABLE = "the central refused the full report; the log of the pilot has the reason"
A_TURN_MAX = 100  # reports in one request


@dataclass
class Unanswered:
    """A report that waits for its answer."""

    report: Report
    at: float  # time of its event
    due: float  # not sent before this time
    refused: bool = False  # the central could not read it once already
    uploading: bool = False  # the central lacks blobs that it names


class ReportOutbox:
    """The unanswered reports. A newer report of an attempt replaces the older one."""

    def __init__(self) -> None:
        self._newest: dict[int, Unanswered] = {}  # by attempt_id
        self._numbers: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._newest)

    def number(self, attempt_id: int) -> int:
        """Return the next number within the attempt."""
        self._numbers[attempt_id] = self._numbers.get(attempt_id, 0) + 1
        return self._numbers[attempt_id]

    def put(self, report: Report, *, at: float, due: float) -> Report:
        """Send this report until it is answered; return it in the form that is sent.

        Its texts are made safe here, for all reports: a report that is refused for a word would be
        lost, and its job would run again and again.
        """
        report = fitting(report)
        known = self._numbers.get(report.attempt_id, 0)
        self._numbers[report.attempt_id] = max(known, report.n)
        self._newest[report.attempt_id] = Unanswered(report, at, due)
        return report

    def get(self, attempt_id: int) -> Optional[Unanswered]:
        return self._newest.get(attempt_id)

    def due(self, now: float, most: int) -> tuple[Report, ...]:
        """Return the reports to send now, oldest first, each with the age of its event."""
        ready = [one for one in self._newest.values() if one.due <= now and not one.uploading]
        return tuple(
            dataclasses.replace(one.report, ago_s=max(0.0, now - one.at)) for one in ready[:most]
        )

    def next_due(self) -> float:
        return min(
            (one.due for one in self._newest.values() if not one.uploading), default=math.inf
        )

    def answered(self, attempt_id: int, n: int) -> Optional[Unanswered]:
        """Return the report that an answer is for; None if a newer one has replaced it."""
        one = self._newest.get(attempt_id)
        return one if one is not None and one.report.n == n else None

    def later(self, attempt_id: int, n: int, due: float) -> None:
        """Delay a report that the answer to its request left out."""
        one = self.answered(attempt_id, n)
        if one is not None:
            one.due = max(one.due, due)

    def drop(self, attempt_id: int) -> None:
        """Stop repeating the attempt's report."""
        self._newest.pop(attempt_id, None)

    def forget(self, attempt_id: int) -> None:
        """Forget an attempt that is over."""
        self._newest.pop(attempt_id, None)
        self._numbers.pop(attempt_id, None)

    def simplify(self, attempt_id: int) -> Optional[Report]:
        """Leave out the variable parts of a refused report; None: already done."""
        one = self._newest.get(attempt_id)
        if one is None or one.refused:
            return None
        one.refused = True
        if one.report.how is not None:
            one.report = dataclasses.replace(
                one.report,
                outputs=(),
                published=(),
                bad_copies=(),
                removed=(),
                leftovers=(),
                how=How.UNREADABLE_REPORT,
                n=self.number(attempt_id),
                detail=UNREADABLE,
                status="",
                image="",
                usage=None,
            )
        return one.report


def fitting(report: Report) -> Report:
    """Return the report with texts that no central refuses."""
    return dataclasses.replace(
        report, detail=fit(report.detail), status=fit(report.status), image=fit(report.image)
    )
