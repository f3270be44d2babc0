"""Which rules hold for a transformation: those of its production, then the default ones."""

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

TEXTS_MAX: Final = 200  # that are kept read
NOT_AGAIN: Final = (
    RuleVerb.PROBLEMATIC,
    RuleVerb.MISSING,
    RuleVerb.IGNORE,
    RuleVerb.GIVE_UP,
)  # no host is looked for


@dataclass(frozen=True)
class AppliedRules:
    """The rules that hold, and for which step of a workflow; empty: it is of none."""

    rules: RuleSet
    step: str = ""


def for_its_tasks(rules: RuleSet, base: RuleSet) -> RuleSet:
    """Return rules of a production as they hold for its tasks, and for nobody else's. Pure.

    A host is suspended only by rules that the installation has, in `base`: where another one
    says so, the task that failed keeps off the host for as long.
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
    """Reads the rules of productions when they are asked for: they may change."""

    def __init__(
        self,
        store: Store,
        base: RuleSet,
        log: Log,
        *,
        rules_of: Callable[[Session, int], str | None],
    ) -> None:
        """`rules_of` is the verb that reads the rules of a transformation's production."""
        self._store, self._base, self._log, self._rules_of = store, base, log, rules_of
        self._read: OrderedDict[str, RuleSet] = OrderedDict()

    async def of(self, transformation_id: int) -> AppliedRules:
        """Return the rules of a transformation. Rules that do not read count for nothing.

        They were read when the production was submitted: so they are of another release.
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
