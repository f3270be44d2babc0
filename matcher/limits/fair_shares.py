"""Fair shares: which of a community's groups, and which of a group's owners, is served next.

Each child of a node has a *level*: its usage divided by its share. The child with the lowest level
is served next. Thus the levels rise together, and usage follows the shares exactly.

Usage decays by half in each half-life. Instead of lowering all levels with time, newer usage is
weighted more: usage at time t is multiplied by 2^(t / half-life). The order is the same, and no
stored level must change as time passes.

A child without waiting jobs is idle. A child that returns from idleness, or gets jobs after it was
not served for long, starts at least at the lowest level of the competing children. It is served
next, but has saved nothing up. Refunds of earlier charges hardly lower it further. Otherwise an
owner who asked for a year and used a day would have all offers for a long time.

The share of their requests that an owner's jobs really used is known as well. A new job is charged
with that share of its request until it ends. It is at least half. Thus an owner who always asks for
too much has at most twice its due, and only until these jobs end.

A limit, a ban, or needs that no pilot meets can block a child with waiting jobs. Its level then
falls behind the level at which its siblings are served. This lag is bounded, because the child
would otherwise get every offer for hours once it is free. The bound is `ahead` times the charges of
all running jobs of the parent, divided by the weights of the competing children. The same bound
holds for a child that is ahead because it alone can use some offers: its siblings are lifted, so
their jobs do not block it for longer.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from .share_order import SiblingOrder

PART_MIN: Final = 0.5  # of a job's request: the least that it is charged with
RESCALE: Final = 256  # half-lives after which all levels are scaled down
BOUND_EVERY_S: Final = 10.0  # seconds between two checks of the lag
NOBODYS_TURN: Final = float("-inf")


class ShareNode:
    """A community, a group or an owner."""

    __slots__ = (
        "asked",
        "bounded_at",
        "busy",
        "children",
        "latest",
        "level",
        "live",
        "name",
        "order",
        "out",
        "parent",
        "raised_at",
        "serial",
        "served",
        "served_at",
        "share",
        "slack",
        "turn",
        "turned",
        "used",
        "users",
    )

    def __init__(self, name: str, parent: "ShareNode | None", share: float, serial: int) -> None:
        self.name = name
        self.parent = parent
        self.share = share
        self.serial = serial  # among its siblings
        self.children: dict[str, ShareNode] = {}
        self.order = SiblingOrder()  # the busy children
        self.busy = 0  # of an owner: classes with waiting jobs; of others: busy children
        self.users = 0  # of an owner: known classes, and pending and running jobs
        self.asked, self.used = (
            0.0,
            0.0,
        )  # of an owner: from its ended jobs, weighted as usage
        self.level = 0.0
        self.raised_at = float("-inf")  # when it last started to compete again
        self.slack = 0.0  # the part of its level that refunds of earlier charges may still lower
        self.out = 0.0  # the part of its level from jobs that have not ended
        self.live = 0  # rows of the index whose classes have waiting jobs, as bits
        self.latest: ShareNode | None = None  # the child that was served last
        self.served = 0  # how often any child was served
        self.served_at = -1  # the parent's `served` when this node was last served
        self.turn = NOBODYS_TURN  # the highest level at which a child was served in its turn
        self.turned: ShareNode | None = None  # that child; both since the lag was last bounded
        self.bounded_at = float("-inf")

    @property
    def part_used(self) -> float:
        """Return the share of their requests that the owner's jobs are charged with."""
        return min(1.0, max(PART_MIN, self.used / self.asked)) if self.asked else 1.0

    @property
    def path(self) -> str:
        """Return the name as in the settings: community/group/owner."""
        before = self.parent.path if self.parent is not None else ""
        return f"{before}/{self.name}" if before else self.name

    @property
    def key(self) -> str:
        """Return the path, with slashes in group names quoted.

        A slash becomes %2F and a percent sign %25. The owner comes last and may contain anything.
        """
        if self.parent is None or self.parent.parent is None:
            return _quoted(self.name)
        is_owner = self.parent.parent.parent is not None
        return f"{self.parent.key}/{self.name if is_owner else _quoted(self.name)}"


class Shares:
    """The tree of communities, groups and owners."""

    def __init__(
        self,
        shares: Mapping[str, float],
        half_life_s: float,
        ahead_core_s: float,
        ahead: float = 0.25,
    ) -> None:
        """Make an empty tree.

        `ahead_core_s`: how far refunds may bring a child ahead of the others.

        `ahead`: how far the levels of siblings may lie apart, as a share of the charges of all
        running jobs of their parent.
        """
        self._shares, self._half_life_s = shares, half_life_s
        self._ahead_core_s, self._ahead = ahead_core_s, ahead
        self._epoch = 0.0  # usage at this time has the weight 1
        self.root = ShareNode("", None, 1.0, 0)

    def owner(self, community: str, group: str, owner: str) -> ShareNode:
        """Return the node of an owner, which is made on first use."""
        node = self.root
        for name in (community, group, owner):
            node = self._child(node, name)
        return node

    def find(self, *path: str) -> ShareNode | None:
        """Return the node of a community, group or owner; None if there is none."""
        node: ShareNode | None = self.root
        for name in path:
            node = node.children.get(name) if node is not None else None
        return node

    def used_core_s(self, node: ShareNode, at: float) -> float:
        """Return the decayed usage of a node at a time."""
        return node.level * node.share / self.weight(at)

    def _child(self, node: ShareNode, name: str) -> ShareNode:
        """Return a child of a node, which is made on first use."""
        child = node.children.get(name)
        if child is None:
            path = f"{node.path}/{name}" if node.path else name
            child = node.children[name] = ShareNode(name, node, 1.0, len(node.children))
            child.share = self._share_of(child, path)
        return child

    def _share_of(self, node: ShareNode, path: str) -> float:
        return self._shares.get(node.key, self._shares.get(path, 1.0))

    def change(self, shares: Mapping[str, float]) -> None:
        """Apply other shares. Levels stay, except for charges of jobs that have not ended."""
        self._shares = shares
        for node in self.all():
            share = self._share_of(node, node.path)
            if share == node.share:
                continue
            old, parent, out = node.level, node.parent, node.out * node.share / share
            node.level += out - node.out
            node.out, node.share = out, share
            if parent is not None and parent.order.places:
                parent.order.moved(node, old)

    def all(self) -> Iterator[ShareNode]:
        """Yield every node, parents first."""
        pending = [self.root]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(node.children.values())

    def prune(self) -> None:
        """Forget owners and groups that are not used and whose level has no effect any more.

        Communities are few and stay. The remaining siblings get new serials.
        """
        _prune(self.root)

    def levels(self, at: float) -> dict[str, float]:
        """Return the levels of all groups and owners that have any, decayed to a time."""
        weight = self.weight(at)
        return {node.key: node.level / weight for node in self.all() if node.level and node.parent}

    def settled(self, at: float) -> dict[str, float]:
        """Return `levels` without the charges of jobs that have not ended."""
        weight = self.weight(at)
        found: dict[str, float] = {}
        for community in self.root.children.values():
            for group in community.children.values():
                path = group.key
                found[path] = (group.level - group.out) / weight
                for owner in group.children.values():
                    found[f"{path}/{owner.name}"] = (owner.level - owner.out) / weight
        return found

    def restore(self, levels: Mapping[str, float], at: float) -> None:
        """Set levels that `settled` returned, before anything is charged or waits."""
        weight = self.weight(at)
        for path, level in levels.items():
            node = self.root
            for name in _names(path):
                node = self._child(node, name)
            node.level = level * weight

    # -- usage ------------------------------------------------------------------------------------

    def weight(self, at: float) -> float:
        """Return the weight of usage at this time."""
        halves = (at - self._epoch) / self._half_life_s
        if halves > RESCALE:
            self._rescale(at)
            return 1.0
        return float(2.0**halves)

    def charge(self, owner: ShareNode, core_s: float, at: float) -> None:
        """Charge an owner with a job that begins at a time.

        Communities have no levels, because each offer belongs to one of them.
        """
        weighted = core_s * self.weight(at)
        group = owner.parent
        assert group is not None and group.parent is not None, "an owner is of a community's group"
        old, more = owner.level, weighted / owner.share
        owner.level = old + more
        owner.out += more
        if group.order.places:
            group.order.moved(owner, old)
        old, more = group.level, weighted / group.share
        group.level = old + more
        group.out += more
        if group.parent.order.places:
            group.parent.order.moved(group, old)

    def settle(self, owner: ShareNode, core_s: float, used_core_s: float, at: float) -> None:
        """Replace a charge from a time by the real usage."""
        weight = self.weight(at)
        group = owner.parent
        assert group is not None, "an owner is of a group"
        for node in (owner, group):
            node.out -= core_s * weight / node.share
            _sink(node, (core_s - used_core_s) * weight / node.share, at)

    def learn(self, owner: ShareNode, asked_core_s: float, used_core_s: float, at: float) -> None:
        """Record the request and the real usage of a job that was matched at a time."""
        weight = self.weight(at)
        owner.asked += asked_core_s * weight
        owner.used += used_core_s * weight

    def serve(self, owner: ShareNode, now: float, *, in_turn: bool) -> None:
        """Record that an owner is served, before it is charged.

        `in_turn`: no owner with a lower level could have used the offer.
        """
        group = owner.parent
        assert group is not None and group.parent is not None, "an owner is of a community's group"
        group.served = owner.served_at = group.served + 1
        group.latest = owner
        community = group.parent
        community.served = group.served_at = community.served + 1
        community.latest = group
        if in_turn:
            if owner.level > group.turn:
                group.turn, group.turned = owner.level, owner
            if group.level > community.turn:
                community.turn, community.turned = group.level, group
        if now - group.bounded_at >= BOUND_EVERY_S:
            self._bound(group, max(0.0, group.out * group.share), now)
        if now - community.bounded_at >= BOUND_EVERY_S:
            groups = community.children.values()
            self._bound(community, max(0.0, sum([it.out * it.share for it in groups])), now)

    def _bound(self, parent: ShareNode, out: float, now: float) -> None:
        """Lift the children that lag too far behind the level at which others are served.

        `out`: the charges of the running jobs of the parent, weighted as usage. The widest gaps
        between neighbours are reduced, so children that compete with each other keep their
        distances.
        """
        turned, turn = parent.turned, parent.turn
        is_first = parent.bounded_at == float("-inf")
        parent.turn, parent.turned, parent.bounded_at = NOBODYS_TURN, None, now
        rivals = list(parent.order)
        if is_first or turned is None or not rivals:
            return
        turn = min(turn, turned.level)  # refunds since then have lowered it
        behind = [node for node in rivals if node.level < turn]
        if not behind:
            return
        lag = self._ahead * out / sum([node.share for node in rivals])
        excess = turn - behind[0].level - lag
        if excess <= 0.0:
            return
        lifts = _lifts([node.level for node in behind], turn, excess)
        for node, by in zip(behind, lifts, strict=True):
            old = node.level
            node.level = old + by
            if parent.order.places:
                parent.order.moved(node, old)

    def _rescale(self, at: float) -> None:
        factor = 2.0 ** -((at - self._epoch) / self._half_life_s)
        self._epoch = at
        for node in self.all():
            node.level *= factor
            node.turn *= factor
            node.slack *= factor
            node.out *= factor
            node.asked *= factor
            node.used *= factor
        for node in self.all():
            node.order.rebuild()

    # -- competition ------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Finish the restore: children that come from now on start at the level of those here."""
        for parent in self.all():
            if parent.latest is None and parent.children:
                highest = max(parent.children.values(), key=_level)
                parent.latest = next(iter(parent.order), highest)
                for node in parent.children.values():
                    self._limit(node, parent.latest.level, now)

    def woke(self, owner: ShareNode, now: float) -> None:
        """Record that one more class of the owner has waiting jobs."""
        node = owner
        while True:
            node.busy += 1
            parent = node.parent
            if node.busy > 1 or parent is None:
                return
            self._begin(node, parent, now)
            parent.order.add(node)
            node = parent

    def came(self, owner: ShareNode, now: float) -> None:
        """Record more waiting jobs of an owner that is busy already.

        Its earlier waiting jobs may have fitted no offer: such waiting must not save up turns.
        """
        node, parent = owner, owner.parent
        while parent is not None:
            if node.busy and node.served_at < _recently(parent):
                old = node.level
                self._begin(node, parent, now)
                if parent.order.places:
                    parent.order.moved(node, old)
            node, parent = parent, parent.parent

    def _begin(self, node: ShareNode, parent: ShareNode, now: float) -> None:
        """Let a child compete, at least at the level of the others."""
        level = competing_level(parent)
        node.level = max(node.level, level)
        self._limit(node, level, now)

    def _limit(self, node: ShareNode, level: float, now: float) -> None:
        """Bound the refunds of earlier charges: they lower the child hardly below a level."""
        ahead = self._ahead_core_s * self.weight(now) / node.share
        node.slack, node.raised_at = max(0.0, node.level - level + ahead), now

    def slept(self, owner: ShareNode) -> None:
        """Record that one class fewer of the owner has waiting jobs."""
        node = owner
        while True:
            node.busy -= 1
            parent = node.parent
            if node.busy or parent is None:
                return
            parent.order.remove(node)
            node = parent


def _quoted(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")


def _names(key: str) -> list[str]:
    """Return the names in a node's key."""
    names = key.split("/", 2)
    return [name.replace("%2F", "/").replace("%25", "%") for name in names[:2]] + names[2:]


def competing_level(parent: ShareNode) -> float:
    """Return the lowest level of the busy children that were served recently.

    A child that is busy but was not served for long waits for offers that do not come, so its level
    does not represent the others. If no child is busy, the child that was served last counts.
    """
    node = parent.order.first_served_since(_recently(parent)) or parent.latest
    return node.level if node is not None else 0.0


def _lifts(levels: list[float], turn: float, excess: float) -> list[float]:
    """Return how much to lift each of some rising levels, so that the lowest rises by `excess`.

    The widest gaps are closed first: those between the levels, and from the last of them to `turn`.
    """
    gaps = [above - level for level, above in zip(levels, [*levels[1:], turn], strict=True)]
    cuts = [0.0] * len(gaps)
    for place in sorted(range(len(gaps)), key=lambda place: -gaps[place]):
        cuts[place] = min(gaps[place], excess)
        excess -= cuts[place]
    lifts = list[float]()
    lift = 0.0
    for cut in reversed(cuts):
        lift += cut
        lifts.append(lift)
    return lifts[::-1]


def _level(node: ShareNode) -> float:
    return node.level


def _recently(parent: ShareNode) -> int:
    """Return the number of the parent's services after which a service counts as recent."""
    return max(-1, parent.served - 4 * len(parent.order) - 64)


def _sink(node: ShareNode, by: float, at: float) -> None:
    """Lower a level by a refund of a charge from a time; a negative number raises it."""
    if by > 0.0 and at < node.raised_at:
        by = min(by, node.slack)
        node.slack -= by
    old, parent = node.level, node.parent
    node.level = old - by
    if parent is not None and parent.order.places:
        parent.order.moved(node, old)


def _prune(node: ShareNode) -> None:
    level = competing_level(node)
    for name, child in list(node.children.items()):
        _prune(child)
        says_nothing = child.level <= level and child is not node.latest and node.parent is not None
        if not child.users and not child.children and says_nothing:
            del node.children[name]
    for serial, child in enumerate(node.children.values()):
        child.serial = serial
    node.order.rebuild()
