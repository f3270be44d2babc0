"""Shares and limits from the settings file, which the central reloads while it runs.

If the file is not valid, the last valid shares and limits stay in force.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from pilotage.matcher.limits.running_limits import Limit
from pilotage.proto.api.limits import LimitsView, LimitView
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import User
from ..identity.policy import Permission, Reach, reach, require_for_all
from ..observe.events import Log
from ..settings import BadSetting, MatcherSettings
from .queue import JobQueue

# Finds the settings that have no effect; returns each with the reason.
Unknown = Callable[[MatcherSettings], Awaitable[Sequence[tuple[str, str]]]]
KEYS: Final = ("shares", "running", "starts")  # of the section `matcher`; other keys need a restart


class Policy:
    """The shares and limits in force. A standby keeps them for the time when it leads."""

    def __init__(
        self, settings: MatcherSettings, read: Callable[[], Awaitable[MatcherSettings]], log: Log
    ) -> None:
        """`read` reads the settings file. It raises BadSetting if the file is not valid."""
        self.settings = settings
        self.trouble = ""  # why the last reading of the file was refused
        self.unknown: tuple[str, ...] = ()  # settings without effect, each with the reason
        self._read, self._log = read, log
        self._queue: JobQueue | None = None
        self._asked = asyncio.Event()
        self._unknown_of: Unknown | None = None

    def lead(self, queue: JobQueue, unknown_of: Unknown | None = None) -> None:
        """Apply the settings, and all later changes, to this queue.

        `unknown_of` finds the settings that have no effect; None: do not look for them.
        """
        self._queue, self._unknown_of = queue, unknown_of
        rules = queue.matcher.rules
        if any(getattr(rules, key) != getattr(self.settings, key) for key in KEYS):
            queue.change(self.settings)

    def ask(self) -> None:
        """Ask `follow` to reload the file."""
        self._asked.set()

    async def follow(self) -> None:
        """Reload the file after each call of `ask`. Ends by cancellation."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.read_again("SIGHUP")

    async def read_again(self, by: str) -> str:
        """Reload the file and apply its shares and limits from the next match on.

        Return the error if the file is not valid, else an empty text. `by` is the person or
        signal that caused the reload, for the log.
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
        """Find the settings in force that have no effect. Log and keep them."""
        if self._unknown_of is None:
            return
        found = await self._unknown_of(self.settings)
        self.unknown = tuple([f"{setting}: {why}" for setting, why in found])
        for setting, why in found:
            self._log("matcher_unknown", setting=setting, why=why)


class LimitService:
    """Shows and reloads shares and limits."""

    def __init__(self, policy: Policy | None, queue: JobQueue, communities: Sequence[str]) -> None:
        """`policy` is None without a settings file. `communities` have pilots at this central."""
        self._policy, self._queue, self._communities = policy, queue, communities

    async def show(self, caller: User) -> LimitsView:
        """Return the shares and limits that the caller may see."""
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
            unknown=self._unknown() if sees_all or self._operates(caller) else (),
        )

    def _unknown(self) -> tuple[str, ...]:
        return self._policy.unknown if self._policy is not None else ()

    def _operates(self, caller: User) -> bool:
        """Return whether the caller may reload the file: the central may have one community."""
        able = reach(caller, Permission.SITE_CONTROL)
        return able is Reach.ALL or (able is not Reach.NONE and len(self._communities) < 2)

    async def read(self, caller: User) -> LimitsView:
        """Reload the file. Raises Refused: FORBIDDEN, or INVALID with the error in the file."""
        require_for_all(caller, Permission.SITE_CONTROL, self._communities)
        if self._policy is None:
            why = "this central was started without a settings file, so it cannot reload one"
            raise Refused(Code.INVALID, why)
        if why := await self._policy.read_again(caller.subject):
            raise Refused(Code.INVALID, f"{why}; shares and limits stay unchanged")
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
