"""Shows Rucio servers, and how far they are mirrored."""

from pilotage.proto.api.rucio import RucioInputView, RucioList, RucioView
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import User
from ..observe.times import shown
from .drivers import RucioDrivers
from .input_states import InputState
from .mirror import RucioMirrors

SHOWN_MAX = 100  # troubles of an input


class RucioService:
    """The operations on Rucio servers that routes call."""

    def __init__(self, drivers: RucioDrivers, mirrors: RucioMirrors) -> None:
        self._drivers, self._mirrors = drivers, mirrors

    async def all(self, caller: User, /) -> RucioList:
        """Return the servers of the caller's community, or all, in order of name."""
        book = self._drivers.files.book
        names = sorted({*book.entries, *book.troubles})
        views = [view for name in names if _may_see(caller, view := self._view(name))]
        return RucioList(servers=views, trouble=book.unlisted)

    async def show(self, caller: User, name: str, /) -> RucioView:
        """Return one server. Raises Refused, NOT_FOUND."""
        servers = (await self.all(caller)).servers
        for one in servers:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in servers) or "none"
        text = f"unknown Rucio server {name!r}; known servers: {known}"
        raise Refused(Code.NOT_FOUND, text, field="rucio")

    async def compare(self, caller: User, name: str, /) -> RucioView:
        """Compare all files of a server soon. Raises Refused, NOT_FOUND."""
        view = await self.show(caller, name)
        server = self._mirrors.servers.get(name)
        if server is not None:
            server.compare_now()
        return view

    def _view(self, name: str) -> RucioView:
        book = self._drivers.files.book
        trouble, entry = book.troubles.get(name, ""), book.entries.get(name)
        if entry is None:
            return RucioView(name=name, trouble=trouble)
        server = self._mirrors.servers.get(name)
        if server is None:  # its file has just changed
            inputs = [RucioInputView(input=one.key) for one in entry.inputs]
        else:
            inputs = [_input(one) for one in server.inputs]
        compared_at = server.compared_at if server is not None else None
        return RucioView(
            name=name,
            url=entry.url,
            account=entry.account,
            community=entry.community,
            storages=dict(entry.storages),
            off=dict(server.off) if server is not None else {},
            compared_at=shown(compared_at) if compared_at is not None else None,
            inputs=inputs,
            trouble=trouble or (server.why if server is not None else ""),
        )


def _may_see(caller: User, view: RucioView) -> bool:
    return not caller.community or view.community in ("", caller.community)


def _input(one: InputState) -> RucioInputView:
    return RucioInputView(
        input=one.entry.key,
        polled_at=shown(one.polled_at) if one.polled_at is not None else None,
        files=one.files,
        waiting=one.waiting,
        troubles=dict(list(one.troubles.items())[:SHOWN_MAX]),
        trouble=one.why,
    )
