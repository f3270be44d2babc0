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
    """End a pilot now: `POST /v1/pilots/{pilot}/kill`."""

    reason: Annotated[str, Meta(max_length=REASON_MAX)]  # it is kept with the pilot; may be empty


class PilotEnded(_Out, frozen=True):
    """What became of an order to end a pilot now."""

    pilot: str
    state: PilotState
    told: bool  # it lives, and hears of it: it stops what it holds, says so, and good-bye
    cancelled: bool = False  # its element was asked to end it, and has said yes
    trouble: str = ""  # why it was not cancelled there


class SiteActionName(str, enum.Enum):
    """What an operator can say of a site or an element."""

    BAN = "ban"  # only jobs of type Test run there
    DRAIN = "drain"  # no new pilots; those there finish what they hold, and end
    ENABLE = "enable"  # neither


class SiteAction(_In, frozen=True):
    """`POST /v1/sites/{site}/actions`. The last word counts, also after a restart.

    The same key again is answered as the first time and changes nothing, for
    `retention.action_days`. Without a key each request counts by itself."""

    action: SiteActionName
    element: ElementName = ""  # empty: the whole site
    host: Annotated[str, Meta(max_length=HOST_MAX)] = ""  # with enable: what is held against it
    reason: Annotated[str, Meta(max_length=REASON_MAX)] = ""
    key: Annotated[str, Meta(max_length=200)] = ""  # idempotency; empty: none


class SiteMark(_Out, frozen=True):
    """What was said of a site or an element, and holds."""

    place: str  # SITE or SITE/ELEMENT
    mark: str  # banned | draining
    who: str  # settings: matcher.banned says so, and only a change there lifts it
    reason: str = ""
    at: str = ""


class HostView(_Out, frozen=True):
    """A host, or an element, on which jobs failed one after another."""

    host: str  # empty: it is an element
    element: str
    state: str  # suspended | canary (one job at a time, to see) | reported (it gets jobs)
    since_s: float  # for so long
    left_s: float  # until its canary; 0: it gets jobs, or one
    jobs: int  # that failed, of late
    owners: int  # whose they were
    reason: str  # of the last one


class SiteDetail(_Out, frozen=True):
    """Everything of one site."""

    view: SiteView
    contact: str = ""
    marks: list[SiteMark] = []
    elements: list[ElementView] = []
    states: dict[str, int] = {}  # how many pilots of it stand in which state; ended ones left out
    told: int = 0  # pilots that were told to end by this action
    hosts: list[HostView] = []  # that swallow jobs, and such elements


class SiteCheckRequest(_In, frozen=True):
    """Submit a probe pilot to each element of a site, or to one: `POST /v1/sites/{site}/check`."""

    timeout_s: Annotated[float, Meta(ge=5, le=86_400)]  # for all steps together
    element: ElementName = ""  # empty: all of the site


class CheckState(str, enum.Enum):
    OPEN = "open"  # not tried yet
    BUSY = "busy"  # being tried
    OK = "ok"
    FAILED = "failed"
    LEFT_OUT = "left out"  # a step before it failed


class CheckStep(_Out, frozen=True):
    """One step on the way of a probe pilot."""

    step: str  # reach | credential | authorise | submit | start | register | ask | end
    state: CheckState
    took_s: float | None = None
    why: str = ""  # it failed, in the element's or the pilot's own words
    do: str = ""  # what may help


class ElementCheck(_Out, frozen=True):
    """How far a probe pilot has come at one element."""

    element: str
    kind: str = ""
    pilot: str = ""  # empty: none was submitted
    steps: list[CheckStep] = []
    said: str = ""  # the end of what the pilot's script printed, where it failed
    held: str = ""  # banned, draining, disabled: jobs bring no pilots there, the probe is one


class SiteCheck(_Out, frozen=True):
    """A check, as far as it has come: ask again until it is done."""

    check: str
    site: str
    done: bool
    ok: bool  # all steps of all elements
    elements: list[ElementCheck] = []


class LimitView(_Out, frozen=True):
    """One limit of running jobs or of starts, and what is used of it."""

    where: str  # SITE or SITE/ELEMENT; empty: all sites together
    by: str  # type, group, owner, tag or amount
    value: str
    community: str  # whose jobs it counts; empty: those of all communities together
    most: int  # jobs that run at once; of an amount their sum; of starts the burst
    per_s: float = 0.0  # starts a second; 0: it is no limit of starts
    running: int = 0  # jobs that count for it now; of an amount their sum; of starts 0


class LimitsView(_Out, frozen=True):
    """The shares and limits in force."""

    shares: dict[str, float]  # by path; a group or owner that is not named weighs 1
    limits: tuple[LimitView, ...]
    trouble: str = ""  # why the file of settings did not count when it was read last
    unknown: tuple[str, ...] = ()  # shares and limits that count for nobody, and why; operators
