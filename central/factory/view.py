"""What people see of the elements."""

from pilotage.proto.api import Elements, ElementView

from ..auth.callers import User
from ..ports import Clock
from .book import ElementBook
from .watched import Watched


class ElementsView:
    """Answers from what the factory knows; nothing before it has begun."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.book: ElementBook | None = None

    async def elements(self, caller: User) -> Elements:
        """Return all elements that are in force, then what is wrong with sites' files."""
        if self.book is None:
            return Elements(elements=[])
        now = self._clock.monotonic()
        views = [_view(one, now) for one in self.book.in_force()]
        views += [
            ElementView(site=one.site, element=one.element, trouble=one.why)
            for one in self.book.troubles
        ]
        return Elements(elements=views)


def _view(one: Watched, now: float) -> ElementView:
    found = one.found
    return ElementView(
        site=one.site,
        element=one.name,
        kind=one.entry.kind,
        pilots=None if found is None else found.pilots,
        queued=None if found is None else found.queued.total(),
        pilots_max=one.entry.pilots_max,
        pledge=one.pledge,
        paused_s=max(0.0, one.open_at - now),
        trouble=one.trouble,
    )
