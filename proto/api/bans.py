"""Bodies of requests and answers about bans of persons."""

from typing import Annotated

from msgspec import Meta

from ..decoding.patterns import whole
from .bodies import ReplyStruct as _Out, RequestStruct as _In
from .jobs import REASON_MAX

PERSON_MAX = 1_024  # subject and issuer
ISSUER_MAX = 512

Line = Annotated[str, Meta(pattern=whole(r"[^\x00-\x1f\x7f-\x9f]*"))]


class BanRequest(_In, frozen=True):
    """Ban a person from the whole central.

    The person's requests are refused at once, waiting jobs are held, and running jobs are killed.
    """

    #: the name that the central shows: the subject, or `SUBJECT@ISSUER` for other issuers
    person: Annotated[Line, Meta(min_length=1, max_length=PERSON_MAX)]
    #: `person` is a subject of this issuer, even if it was never seen here
    issuer: Annotated[Line, Meta(max_length=ISSUER_MAX)] = ""
    #: shown to operators and to the person
    reason: Annotated[Line, Meta(max_length=REASON_MAX)] = ""


class BanView(_Out, frozen=True):
    """A ban of a person, in force or lifted."""

    ban: int
    person: str  # as the central shows it
    issuer: str
    subject: str
    since: str
    who: str  # the operator
    reason: str = ""
    lifted_at: str = ""  # empty: it is in force
    lifted_by: str = ""
    released: bool = False  # it was lifted, and the jobs that it held are released


class IssuedToken(_Out, frozen=True):
    """A valid token that a person has issued to another one."""

    jti: str
    subject: str
    expires_at: str


class BanMade(_Out, frozen=True):
    """The ban in force. Tokens that the person has issued to others stay valid: `issued`."""

    ban: BanView
    repeated: bool = False  # the person was banned already, and that ban stays as it is
    issued: list[IssuedToken] = []  # at most 1,000


class Bans(_Out, frozen=True):
    """A page of bans, in order of their number."""

    bans: list[BanView]
    after: int | None = None
