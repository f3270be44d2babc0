"""Finds the rules for a transformation: those of its production, then the default ones."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from ..observe.events import Log
from ..store.engine import Store
from ..store.session import Session
from ..transformations import record as transformation_records
from .rules import BadRules, FailureRule, RuleSet, RuleStep, RuleVerb, read_rules

TEXTS_MAX: Final = 200  # parsed texts in memory
NOT_AGAIN: Final = (
    RuleVerb.PROBLEMATIC,
    RuleVerb.MISSING,
    RuleVerb.IGNORE,
    RuleVerb.GIVE_UP,
    RuleVerb.PAUSE,
)  # these do not need another host


@dataclass(frozen=True)
class AppliedRules:
    """The rules for a transformation, and its workflow step; empty: it has none."""

    rules: RuleSet
    step: str = ""


def for_its_tasks(rules: RuleSet, base: RuleSet) -> RuleSet:
    """Return the rules of a production, limited to its own tasks. Pure.

    Only rules of the installation, in `base`, suspend a host. A production's rule that suspends a
    host makes only the failed task avoid it, for the same time.
    """
    failures = (one if one in base.failures else _kept_off(one) for one in rules.failures)
    return msgspec.structs.replace(rules, failures=tuple(failures))


def _kept_off(rule: FailureRule) -> FailureRule:
    host_s = max((one.host_s for one in rule.then if one.do is RuleVerb.SUSPEND_HOST), default=None)
    if host_s is None:
        return rule
    then = [
        msgspec.structs.replace(one, elsewhere=True, host_s=max(one.host_s, host_s))
        if one.do is RuleVerb.RETRY
        else one
        for one in rule.then
        if one.do is not RuleVerb.SUSPEND_HOST
    ]
    if not {one.do for one in then} & {RuleVerb.RETRY, *NOT_AGAIN}:
        then.append(RuleStep(do=RuleVerb.RETRY, elsewhere=True, host_s=host_s))
    return msgspec.structs.replace(rule, then=tuple(then))


class RuleBook:
    """Reads the rules of productions at each use, because they may change."""

    def __init__(
        self,
        store: Store,
        base: RuleSet,
        log: Log,
        *,
        rules_of: Callable[[Session, int], str | None],
    ) -> None:
        """Make a rule book; `rules_of` reads the rules of a transformation's production."""
        self._store, self._base, self._log, self._rules_of = store, base, log, rules_of
        self._read: OrderedDict[str, RuleSet] = OrderedDict()

    async def of(self, transformation_id: int) -> AppliedRules:
        """Return the rules for a transformation. Ignore unreadable rules of its production.

        They were readable when the production was submitted, so another release wrote them.
        """
        steps = await self._store.read(transformation_records.steps_of, [transformation_id])
        if transformation_id not in steps:
            return AppliedRules(self._base)
        text = await self._store.read(self._rules_of, transformation_id)
        step = steps[transformation_id]
        return AppliedRules(self._rules(text or "", step.production), step.step)

    def _rules(self, text: str, production: str) -> RuleSet:
        if not text:
            return self._base
        known = self._read.pop(text, None)
        if known is None:
            try:
                known = for_its_tasks(read_rules(text, production, base=self._base), self._base)
            except BadRules as why:
                self._log("failover_rules_unread", production=production, why=str(why))
                known = self._base
        self._read[text] = known
        if len(self._read) > TEXTS_MAX:
            self._read.popitem(last=False)
        return known
