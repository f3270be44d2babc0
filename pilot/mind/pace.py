"""How long a pilot waits for what, and the values that its mind is given. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass

ASK_OPEN = 0.5  # of the lease: then an ask without an answer is closed
REASK_S = 300.0  # while wake-ups can reach us, unless the central says another one
REASK_BUS_DOWN_S = 20.0  # likewise, while they cannot
REASK_BUS_DOWN_MIN_S, REASK_BUS_DOWN_MAX_S = 5.0, 60.0
SPREAD = 0.2  # ±: many pilots that hear the same must not all speak at the same time
BACK_OFF_MIN_S, BACK_OFF_MAX_S = 1.0, 10.0
IMPATIENCE_MAX_S = 10.0  # how long a beat waits for its answer before the next takes HTTPS
TURN_TIMEOUT_MAX_S = 20.0
TIMEOUT_MIN_S = 2.0
BEAT_SPACING_MAX_S = 1.0  # payloads that start in a burst share one first beat
FIRST_BEAT_S = 1.0  # after the first ask, which says the same
GOODBYES_MAX = 3
TOGETHER_S = 0.015  # turns of a busy pilot are at least so far apart, and carry several ends each
BURST_S = 0.1  # ends that come so soon after a turn are a burst: each waits for the next one,
GATHER_S = 0.003  # … for so long, and no longer than TOGETHER_S
WALL_UNLIMITED_S = 31_536_000.0  # what is offered where no end is known
BOUNDS_STEP_S = 10.0  # what an end has to move by to be worth an ask
WALL_MIN_S = 10.0  # with less time left nothing is asked for
WALL_LATE_S = 10.0  # what a payload may lack, at its start, of the time that it was granted

Uniform = Callable[[float, float], float]


@dataclass(frozen=True)
class PilotSession:
    """Who we are for the central in this life."""

    gen: str
    session: int
    beat_s: float  # H while nothing is held


@dataclass(frozen=True)
class PilotDeadlines:
    """When the pilot has to end by itself."""

    stop_at: float = math.inf  # CLOCK_BOOTTIME at which its payloads must be stopped
    end_at: float = math.inf  # … and at which it ends, whatever is not answered by then
    idle_s: float = 0.0  # without any attempt; 0: for ever
    idle_since: float = math.inf  # when that began, if before the mind was there


@dataclass(frozen=True)
class FailedRequest:
    """A request that was not answered with 2xx: `status` 0 stands for no answer at all."""

    status: int
    code: str = ""
    message: str = ""

    def facts(self) -> dict[str, object]:
        return {"status": self.status, "code": self.code, "message": self.message}

    def text(self) -> str:
        """Return what was said, in one line."""
        return " ".join(str(one) for one in (self.status, self.code, self.message) if one)


def back_off_s(failures: int, uniform: Uniform) -> float:
    """Return how long to wait after so many failures in a row (full jitter)."""
    most = min(BACK_OFF_MAX_S, 2.0 ** min(failures, 10))
    return uniform(BACK_OFF_MIN_S, most)


def reask_s(bus_up: bool, central_says_s: float, uniform: Uniform) -> float:
    """Return how long a parked ask waits for its wake-up before it asks again."""
    if bus_up:
        return spread_s(central_says_s or REASK_S, uniform)
    least, most = REASK_BUS_DOWN_MIN_S, REASK_BUS_DOWN_MAX_S
    wanted = min(most, max(least, central_says_s or REASK_BUS_DOWN_S))
    return uniform(max(least, (1 - SPREAD) * wanted), min(most, (1 + SPREAD) * wanted))


def spread_s(wanted: float, uniform: Uniform) -> float:
    """Return about the wanted time."""
    return uniform((1 - SPREAD) * wanted, (1 + SPREAD) * wanted)


def impatience_s(lease_s: float) -> float:
    """Return how long a beat waits for its answer: 10 s at 120 s, in proportion below."""
    return min(IMPATIENCE_MAX_S, lease_s / 12)


def timeout_s(most: float, wanted: float) -> float:
    """Return how long a request may take."""
    return max(TIMEOUT_MIN_S, min(most, wanted))
