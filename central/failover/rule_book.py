"""Which rules hold for a transformation: those of its production, then the default ones."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ..observe.events import Log
from ..store.productions import StepName
from .rules import BadRules, RuleSet, read_rules

TEXTS_MAX: Final = 200  # that are kept read


class Ruled(Protocol):
    """What of the store is looked at."""

    async def rules_of(self, transformation_id: int) -> str | None: ...
    async def steps_of(self, transformation_ids: Sequence[int]) -> dict[int, StepName]: ...


@dataclass(frozen=True)
class Applied:
    """The rules that hold, and for which step of a workflow; empty: it is of none."""

    rules: RuleSet
    step: str = ""


class RuleBook:
    """Reads the rules of productions when they are asked for: they may change."""

    def __init__(self, store: Ruled, base: RuleSet, log: Log) -> None:
        self._store, self._base, self._log = store, base, log
        self._read: OrderedDict[str, RuleSet] = OrderedDict()

    async def of(self, transformation_id: int) -> Applied:
        """Return the rules of a transformation. Rules that do not read count for nothing.

        They were read when the production was submitted: so they are of another release.
        """
        steps = await self._store.steps_of([transformation_id])
        if transformation_id not in steps:
            return Applied(self._base)
        text = await self._store.rules_of(transformation_id)
        step = steps[transformation_id]
        return Applied(self._rules(text or "", step.production), step.step)

    def _rules(self, text: str, production: str) -> RuleSet:
        if not text:
            return self._base
        known = self._read.pop(text, None)
        if known is None:
            try:
                known = read_rules(text, production, base=self._base)
            except BadRules as why:
                self._log("failover_rules_unread", production=production, why=str(why))
                known = self._base
        self._read[text] = known
        if len(self._read) > TEXTS_MAX:
            self._read.popitem(last=False)
        return known
