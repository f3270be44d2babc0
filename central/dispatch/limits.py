"""Shares and limits of the settings' file, read again while the central runs.

A file that cannot be read changes nothing: the shares and limits that were read last stay in force.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from pilotage.matcher.limits.running_limits import Limit
from pilotage.proto.api.sites import LimitsView, LimitView
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import User
from ..identity.policy import Permission, Reach, reach, require_for_all
from ..observe.events import Log
from ..settings import BadSetting, MatcherSettings
from .queue import JobQueue

# The settings that count for nobody, each with the reason.
Unknown = Callable[[MatcherSettings], Awaitable[Sequence[tuple[str, str]]]]
KEYS: Final = ("shares", "running", "starts")  # of the section `matcher`; others need a restart


class Policy:
    """What is in force. A process that waits to lead keeps it until then."""

    def __init__(
        self, settings: MatcherSettings, read: Callable[[], Awaitable[MatcherSettings]], log: Log
    ) -> None:
        """`read` reads the file, and raises BadSetting."""
        self.settings = settings
        self.trouble = ""  # why the file did not count when it was read last
        self.unknown: tuple[str, ...] = ()  # settings that count for nobody, each with the reason
        self._read, self._log = read, log
        self._queue: JobQueue | None = None
        self._asked = asyncio.Event()
        self._unknown_of: Unknown | None = None

    def lead(self, queue: JobQueue, unknown_of: Unknown | None = None) -> None:
        """From now on changes are for this queue. The queue may hold older settings.

        `unknown_of` finds the settings that count for nobody; None: they are not looked for.
        """
        self._queue, self._unknown_of = queue, unknown_of
        rules = queue.matcher.rules
        if any(getattr(rules, key) != getattr(self.settings, key) for key in KEYS):
            queue.change(self.settings)

    def ask(self) -> None:
        """Have `follow` read the file again."""
        self._asked.set()

    async def follow(self) -> None:
        """Read the file again each time that `ask` was called. Ends by cancellation."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.read_again("SIGHUP")

    async def read_again(self, by: str) -> str:
        """Take up what the file says now. Return why nothing of it counts, empty if it does.

        `by`: who asked, for the log. A change counts from the next match on.
        """
        try:
            found = await self._read()
        except BadSetting as why:
            self.trouble = str(why)
            self._log("limits_refused", by=by, why=self.trouble)
            return self.trouble
        self.trouble = ""
        new = {key: getattr(found, key) for key in KEYS}
        changed = [key for key in KEYS if new[key] != getattr(self.settings, key)]
        self.settings = msgspec.structs.replace(self.settings, **new)
        if changed and self._queue is not None:
            self._queue.change(self.settings)
        self._log("limits_read", by=by, changed=changed)
        await self.look_for_unknown()
        return ""

    async def look_for_unknown(self) -> None:
        """Log and keep which of the settings in force count for nobody."""
        if self._unknown_of is None:
            return
        found = await self._unknown_of(self.settings)
        self.unknown = tuple([f"{setting}: {why}" for setting, why in found])
        for setting, why in found:
            self._log("matcher_unknown", setting=setting, why=why)


class LimitService:
    """Shows shares and limits, and has them read again."""

    def __init__(self, policy: Policy | None, queue: JobQueue, communities: Sequence[str]) -> None:
        """`policy`: None where there is no file. `communities`: all that have pilots here."""
        self._policy, self._queue, self._communities = policy, queue, communities

    async def show(self, caller: User) -> LimitsView:
        """Return what is in force for the communities of a caller."""
        matcher, named = self._queue.matcher, [caller.community]
        sees_all = reach(caller, Permission.PILOT_READ) is Reach.ALL
        if sees_all:
            named = sorted({*self._communities, *matcher.shares.root.children})
        limits = {id(one): one for name in named for one in matcher.limits.of(name)}
        shares = matcher.rules.shares
        return LimitsView(
            shares={path: shares[path] for path in shares if path.split("/")[0] in named},
            limits=tuple([_view(one) for one in limits.values()]),
            trouble=self._policy.trouble if self._policy is not None else "",
            unknown=self._policy.unknown if self._policy is not None and sees_all else (),
        )

    async def read(self, caller: User) -> LimitsView:
        """Read the file again. Raises Refused: FORBIDDEN, or INVALID with what is wrong in it."""
        require_for_all(caller, Permission.SITE_CONTROL, self._communities)
        if self._policy is None:
            raise Refused(Code.INVALID, "this central has no file of settings to read again")
        if why := await self._policy.read_again(caller.subject):
            raise Refused(Code.INVALID, f"{why}; shares and limits stay as they were")
        return await self.show(caller)


def _view(limit: Limit) -> LimitView:
    return LimitView(
        where=limit.where,
        by=limit.kind[0],
        value=limit.kind[1],
        community=limit.community,
        most=int(limit.most),
        per_s=limit.per_s,
        running=0 if limit.is_rate else int(limit.most - limit.room),
    )
