"""Bans persons, lifts bans and lists them. The process that keeps the queue handles their jobs."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from pilotage.proto.api.bans import BanMade, BanRequest, Bans, BanView, IssuedToken
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from ...errors import Refused
from ...observe.events import Log
from ...observe.times import shown
from ...ports import Clock
from ...store.engine import Store
from ..callers import User
from ..errors import BanNotFound, Forbidden
from ..policy import Permission, require_for_all
from ..scope import Owners
from . import record as ban_records
from .ban_list import BanList, Person
from .persons import did_you_mean, near, persons_named
from .record import BanRow, EndSessions, NewBan

ISSUED_MAX: Final = 1_000  # tokens that an answer names
NAMESAKES_MAX: Final = 5  # persons that a refusal suggests
LOCAL_ADMIN: Final = "admin"  # the subject of `admin.token`


class BanService:
    """Carries out the actions of operators on bans.

    A ban holds in all communities. So if the central serves several, only a token without a
    community may set, lift and list bans.
    """

    def __init__(
        self,
        *,
        store: Store,
        bans: BanList,
        owners: Owners,
        end_sessions: EndSessions,
        session_ended: Callable[[str], None],
        clock: Clock,
        log: Log,
        local_issuer: str,
        provider_issuers: Callable[[], Collection[str]],
        communities: Sequence[str],
    ) -> None:
        """`session_ended` refuses a session's tokens.

        `provider_issuers` returns the issuers of the identity providers; `communities` are all of
        this central.
        """
        self._store, self._bans, self._owners = store, bans, owners
        self._end_sessions, self._session_ended = end_sessions, session_ended
        self._clock, self._log = clock, log
        self._local, self._communities = local_issuer, communities
        self._provider_issuers = provider_issuers

    async def ban(self, caller: User, asked: BanRequest) -> BanMade:
        """Ban a person from now on. Idempotent: an earlier ban of the person stays as it is.

        Raises Refused: FORBIDDEN for oneself, for the local administrator, and for an admin if the
        caller is none; NOT_FOUND for an unknown name; INVALID if the name has several meanings.
        """
        self._require(caller)
        person = await self._person(asked)
        await self._check(caller, person)
        now = self._clock.wall()
        new = NewBan(
            issuer=person.issuer,
            subject=person.subject,
            who=self._word(Person(caller.issuer, caller.subject)),
            reason=asked.reason,
            at=now,
        )
        row, is_new, ended = await self._bans.ban(new, self._end_sessions)
        for session in ended:
            self._session_ended(session)  # else its tokens would be good again after `unban`
        name = self._word(person)
        if is_new:
            self._log("person_banned", ban=row.ban_id, person=name, who=row.who, why=row.reason)
        issued = await self._store.read(
            ban_records.tokens_issued_by, *person, name=name, now=now, limit=ISSUED_MAX
        )
        return BanMade(
            ban=self._view(row),
            repeated=not is_new,
            issued=[
                IssuedToken(jti=one.jti, subject=one.subject, expires_at=shown(one.expires_at))
                for one in issued
            ],
        )

    async def lift(self, caller: User, ban: str) -> BanView:
        """Lift the ban with this number. Idempotent. Raises BanNotFound."""
        self._require(caller)
        number = int(ban) if ban.isascii() and ban.isdecimal() and len(ban) <= 16 else 0
        who = self._word(Person(caller.issuer, caller.subject))
        row, was_in_force = await self._bans.lift(number, who, self._clock.wall())
        if row is None:
            raise BanNotFound(ban[:40])
        if was_in_force:
            name = self._word(Person(row.issuer, row.subject))
            self._log("person_unbanned", ban=row.ban_id, person=name, who=row.lifted_by)
        return self._view(row)

    async def list(
        self, caller: User, *, person: str, issuer: str, lifted: bool, after: int, limit: int
    ) -> Bans:
        """Return a page of bans: those in force, and with `lifted` those lifted lately.

        With `person`, return only the bans that this name can mean.
        """
        self._require(caller)
        if person:
            rows = [
                row
                for one in persons_named(person, self._local, issuer)
                if (row := await self._store.read(ban_records.ban_of_person, *one)) is not None
                if (lifted or row.is_in_force) and row.ban_id > after
            ]
            return Bans(bans=[self._view(row) for row in rows])
        rows = await self._store.read(ban_records.bans, lifted=lifted, after=after, limit=limit)
        return Bans(
            bans=[self._view(row) for row in rows],
            after=rows[-1].ban_id if len(rows) == limit else None,
        )

    # -- helpers --------------------------------------------------------------------------------

    def _require(self, caller: User) -> None:
        require_for_all(caller, Permission.BAN_CONTROL, self._communities)

    async def _person(self, asked: BanRequest) -> Person:
        """Return the person that a request names. A name without an issuer must be known here.

        Otherwise a mistyped name would ban the wrong person, or no person at all.
        """
        meant = persons_named(asked.person, self._local, asked.issuer)
        known = [one for one in meant if await self._store.read(ban_records.is_person_known, *one)]
        if asked.issuer:
            if not known:
                self._check_stranger(meant[0])
            return meant[0]
        if len(known) > 1:
            issuers = " or ".join(repr(one.issuer) for one in known)
            why = f"{asked.person!r} has several meanings here: give the issuer, {issuers}"
            raise Refused(Code.INVALID, why, field="issuer")
        if known:
            return known[0]
        await self._owners.learn_all()
        known_at = await self._store.read(
            ban_records.issuers_of_subject, asked.person, limit=NAMESAKES_MAX
        )
        names = [self._word(Person(issuer, asked.person)) for issuer in known_at]
        raise Refused(
            Code.NOT_FOUND,
            f"no person {asked.person!r} has jobs, files, tokens or logins here; to ban a person "
            "who was never here, give the subject and the issuer"
            f"{did_you_mean(names) or near(asked.person, self._owners.words())}",
            field="person",
        )

    def _check_stranger(self, person: Person) -> None:
        """Raise Refused if this subject and issuer cannot belong to a person of this central."""
        if person.subject != person.subject.strip():
            why = f"the subject {person.subject!r} begins or ends with a blank: remove it"
            raise Refused(Code.INVALID, why, field="person")
        issuers = {self._local, *self._provider_issuers()}
        if person.issuer not in issuers:
            why = (
                f"{person.issuer!r} is not an issuer of this central: write it letter by letter, "
                f"with its slash; there are {', '.join(sorted(issuers))}"
                f"{near(person.issuer, issuers)}"
            )
            raise Refused(Code.INVALID, why, field="issuer")

    async def _check(self, caller: User, person: Person) -> None:
        """Raise Forbidden if this caller may not ban this person."""
        name = self._word(person)
        if person == (caller.issuer, caller.subject):
            why = "you cannot ban yourself: ask another operator or an admin"
            raise Forbidden(why, field="person")
        if person == (self._local, LOCAL_ADMIN):
            raise Forbidden(
                f"{name!r} cannot be banned: it is the administrator of this installation, whose "
                "token is the file admin.token; if it is stolen, revoke it and restart the "
                "central, which writes a new one",
                field="person",
            )
        now = self._clock.wall()
        roles = await self._store.read(ban_records.roles_of_person, *person, now=now)
        if Role.ADMIN.value in roles and caller.role is not Role.ADMIN:
            raise Forbidden(
                f"your role ({caller.role.value}) may not ban {name!r}, because this person has a "
                "valid token with the role admin: ask an admin",
                field="person",
            )

    def _word(self, person: Person) -> str:
        return self._owners.word(*person)

    def _view(self, row: BanRow) -> BanView:
        return BanView(
            ban=row.ban_id,
            person=self._word(Person(row.issuer, row.subject)),
            issuer=row.issuer,
            subject=row.subject,
            since=shown(row.at),
            who=row.who,
            reason=row.reason,
            lifted_at=shown(row.lifted_at) if row.lifted_at is not None else "",
            lifted_by=row.lifted_by,
            released=row.released_at is not None,
        )
