"""Bodies of requests and answers about sites and their elements."""

import enum
from typing import Annotated

from msgspec import Meta

from ..decoding.patterns import whole
from .bodies import ReplyStruct as _Out, RequestStruct as _In
from .jobs import REASON_MAX

HOST_MAX = 256
ElementName = Annotated[str, Meta(pattern=whole("([A-Za-z0-9][A-Za-z0-9._-]*)?"), max_length=64)]


class CommunityShare(_Out, frozen=True):
    """Share of a community in the pilots of a site."""

    community: str
    pilots: int
    share_wanted: float | None = None  # from the site's file, 0 to 1; null: no file
    share_had: float | None = None  # share of pilot time since the central started; null: none yet


class SiteView(_Out, frozen=True):
    site: str
    pilots: int
    cores: int
    cores_free: int
    running: int
    done: int
    failed: int
    banned: bool = False  # only jobs of type Test run there
    banned_elements: tuple[str, ...] = ()
    draining: bool = False  # it gets no pilots; its pilots finish their jobs
    draining_elements: tuple[str, ...] = ()
    enabled: bool = True
    pledge: float | None = None  # null: it has no file; 0: opportunistic
    # Share of the time of all pilots since the central started, at sites with a pledge; from 0 to
    # 1.
    share_wanted: float | None = None  # from the pledges
    share_had: float | None = None  # null: no pilot yet
    trouble: str = ""
    communities: list[CommunityShare] = []  # the caller's, with pilots or a share there


class Sites(_Out, frozen=True):
    sites: list[SiteView]


class ElementView(_Out, frozen=True):
    """A compute element of the factory, or a site file with errors."""

    site: str
    element: str  # empty: the whole file
    kind: str = ""  # driver; empty: not in force
    pilots: int | None = None  # submitted pilots that have not ended; null: unknown
    queued: int | None = None
    pilots_max: int = 0
    pledge: float = 0.0
    paused_s: float = 0.0  # seconds without new pilots
    trouble: str = ""
    # Seconds until the credential for this element expires; negative: expired. None: unknown.
    credential_left_s: float | None = None
    held: str = ""  # banned, draining or disabled
    credential_fault: bool = False  # the source gives no credential, for another reason than expiry


class Elements(_Out, frozen=True):
    elements: list[ElementView]
    unmet_jobs: int = 0  # waiting jobs for which no element had room in the last round


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
