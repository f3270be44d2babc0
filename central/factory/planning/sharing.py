"""Divides room at an element between communities with shares. Pure."""

from collections.abc import Mapping


def level(weights: Mapping[str, float], has: Mapping[str, int], room: int) -> dict[str, float]:
    """Return how many pilots each may have when `room` more fit.

    The community that has least of its share comes first, until all are level. A community above
    that level keeps its pilots and gets none.
    """
    shared = {name: weight for name, weight in weights.items() if weight > 0}
    if not shared:  # they all share the rest
        shared = dict.fromkeys(weights, 1.0)
    order = sorted(shared, key=lambda name: has.get(name, 0) / shared[name])
    whole, pilots, height = 0.0, room, 0.0
    for name in order:
        if whole and pilots <= whole * has.get(name, 0) / shared[name]:
            break
        whole += shared[name]
        pilots += has.get(name, 0)
        height = pilots / whole
    return {name: height * shared.get(name, 0.0) for name in weights}


def excess(
    weights: Mapping[str, float], has: Mapping[str, int], who: str, wants: int
) -> tuple[int, dict[str, int]]:
    """Return how many more pilots `who` has a right to while there is no room.

    Also return how many pilots each other community has above its share of the total.
    """
    of = {name: weights.get(name, 1.0) for name in {*has, who} if name == who or has[name] > 0}
    whole = sum(of.values())
    if whole <= 0:
        return 0, {}
    pilots = sum(has.values())
    part = {name: pilots * weight / whole for name, weight in of.items()}
    missing = min(wants, max(0, int(part[who]) - has.get(who, 0)))
    beyond = {name: int(has.get(name, 0) - part[name]) for name in of}
    return missing, {name: pilots for name, pilots in beyond.items() if pilots > 0}
