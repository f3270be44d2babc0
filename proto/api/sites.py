"""Bodies of requests and answers about sites, their elements and the ends of pilots."""

import enum
from typing import Annotated

from msgspec import Meta

from ..decoding.patterns import whole
from ..pilot_states import PilotState
from .bodies import ReplyStruct as _Out, RequestStruct as _In
from .jobs import REASON_MAX, ElementView, SiteView

HOST_MAX = 256
ElementName = Annotated[str, Meta(pattern=whole("([A-Za-z0-9][A-Za-z0-9._-]*)?"), max_length=64)]


class PilotEnd(_In, frozen=True):
    """End a pilot now."""

    reason: Annotated[str, Meta(max_length=REASON_MAX)]  # kept with the pilot; may be empty


class PilotEnded(_Out, frozen=True):
    """Whether a pilot will end."""

    pilot: str
    state: PilotState
    told: bool  # the pilot is alive: it stops its attempts, reports, and signs off
    cancelled: bool = False  # its compute element has agreed to end it
    trouble: str = ""


class SiteActionName(str, enum.Enum):
    """An action of an operator on a site or an element."""

    BAN = "ban"  # only jobs of type Test run there
    DRAIN = "drain"  # no new pilots; existing pilots finish their jobs and end
    ENABLE = "enable"  # lift both


class SiteAction(_In, frozen=True):
    """Ban, drain or enable a site or an element. The last action counts, even after a restart.

    A repeated key gives the first answer and changes nothing, for `retention.action_days`.
    """

    action: SiteActionName
    element: ElementName = ""  # empty: the whole site
    #: with `enable`: lift only the suspension of this host
    host: Annotated[str, Meta(max_length=HOST_MAX)] = ""
    reason: Annotated[str, Meta(max_length=REASON_MAX)] = ""
    key: Annotated[str, Meta(max_length=200)] = ""


class SiteMark(_Out, frozen=True):
    """A ban or drain in force."""

    place: str  # SITE or SITE/ELEMENT
    mark: str  # `banned` or `draining`
    who: str  # `settings`: only a change of matcher.banned lifts it
    reason: str = ""
    at: str = ""


class HostView(_Out, frozen=True):
    """A host or element where job after job failed."""

    host: str  # empty: the element itself
    element: str
    state: str  # `suspended`, `canary` (one trial job at a time) or `reported` (still gets jobs)
    since_s: float  # seconds in this state
    left_s: float  # seconds until its trial job; 0: it gets jobs
    jobs: int  # recently failed jobs
    owners: int
    reason: str


class SiteDetail(_Out, frozen=True):
    """Everything about one site."""

    view: SiteView
    contact: str = ""
    marks: list[SiteMark] = []
    elements: list[ElementView] = []
    states: dict[str, int] = {}  # pilots by state, without ended ones
    told: int = 0  # pilots that this action orders to end
    hosts: list[HostView] = []  # hosts and elements that swallow jobs


class SiteCheckRequest(_In, frozen=True):
    """Submit a probe pilot to each element of a site, or to one."""

    timeout_s: Annotated[float, Meta(ge=5, le=86_400)]  # for all steps together
    element: ElementName = ""  # empty: all elements


class CheckState(str, enum.Enum):
    OPEN = "open"  # not tried yet
    BUSY = "busy"  # being tried
    OK = "ok"
    FAILED = "failed"
    LEFT_OUT = "left out"  # an earlier step failed


class CheckStep(_Out, frozen=True):
    """One step of a probe pilot."""

    step: str  # reach, credential, authorise, submit, start, register, ask or end
    state: CheckState
    took_s: float | None = None
    why: str = ""  # the failure, in the words of the element or pilot
    do: str = ""


class ElementCheck(_Out, frozen=True):
    """The progress of the probe pilot at one element."""

    element: str
    kind: str = ""
    pilot: str = ""  # empty: none was submitted
    steps: list[CheckStep] = []
    said: str = ""  # end of the output of the pilot's script, if it failed
    held: str = ""  # `banned`, `draining` or `disabled`: only the probe runs there


class SiteCheck(_Out, frozen=True):
    """The progress of a check. Poll until it is done."""

    check: str
    site: str
    done: bool
    ok: bool
    elements: list[ElementCheck] = []


class LimitView(_Out, frozen=True):
    """A limit of running jobs or of starts, with its use."""

    where: str  # SITE or SITE/ELEMENT; empty: all sites together
    by: str  # type, group, owner, tag or amount
    value: str
    community: str  # empty: all communities together
    most: int  # most running jobs, most of an amount, or the burst of starts
    per_s: float = 0.0  # starts per second; 0: no limit of starts
    running: int = 0  # jobs that count now, or their sum of an amount


class LimitsView(_Out, frozen=True):
    """The shares and limits in force."""

    shares: dict[str, float]  # by path; others weigh 1
    limits: tuple[LimitView, ...]
    trouble: str = ""  # why the settings file was ignored when it was last read
    unknown: tuple[str, ...] = ()  # shares and limits that match nobody, and why (for operators)
