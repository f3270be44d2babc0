"""Waiting times of a pilot, and the values for its mind. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass

ASK_OPEN = 0.5  # of the lease: then an unanswered ask is closed
REASK_S = 300.0  # while wake-ups can arrive, unless the central sets another time
REASK_BUS_DOWN_S = 20.0  # the same, while they cannot
REASK_BUS_DOWN_MIN_S, REASK_BUS_DOWN_MAX_S = 5.0, 60.0
SPREAD = 0.2  # ±: pilots with the same news must not all send at the same time
BACK_OFF_MIN_S, BACK_OFF_MAX_S = 1.0, 10.0
IMPATIENCE_MAX_S = 10.0  # how long a heartbeat waits for its answer before the next one uses HTTPS
TURN_TIMEOUT_MAX_S = 20.0
TIMEOUT_MIN_S = 2.0
BEAT_SPACING_MAX_S = 1.0  # payloads that start in a burst share one first heartbeat
FIRST_BEAT_S = 1.0  # after the first ask, which says the same
GOODBYES_MAX = 3
TOGETHER_S = 0.015  # minimum time between turns of a busy pilot, so that each carries several ends
BURST_S = 0.1  # ends that follow a turn this soon are a burst: each waits for the next one,
GATHER_S = 0.003  # … for this time, and no longer than TOGETHER_S
WALL_UNLIMITED_S = 31_536_000.0  # offered if no end is known
BOUNDS_STEP_S = 10.0  # a change of the end that is worth an ask
WALL_MIN_S = 10.0  # with less time left, the pilot does not ask
WALL_LATE_S = 10.0  # of the granted time, how much a payload may lack at its start

Uniform = Callable[[float, float], float]


@dataclass(frozen=True)
class PilotSession:
    """The pilot's identity at the central in this process."""

    gen: str
    session: int
    beat_s: float  # interval of heartbeats while nothing is held


@dataclass(frozen=True)
class PilotDeadlines:
    """The times at which the pilot must end by itself."""

    stop_at: float = math.inf  # CLOCK_BOOTTIME at which its payloads must be stopped
    end_at: float = math.inf  # … and at which it ends, even with unanswered reports
    idle_s: float = 0.0  # without any attempt; 0: for ever
    idle_since: float = math.inf  # when that began, if before the start of the mind


@dataclass(frozen=True)
class FailedRequest:
    """A request without a 2xx answer; `status` 0: no answer at all."""

    status: int
    code: str = ""
    message: str = ""

    def facts(self) -> dict[str, object]:
        return {"status": self.status, "code": self.code, "message": self.message}

    def text(self) -> str:
        """Return the error in one line."""
        return " ".join(str(one) for one in (self.status, self.code, self.message) if one)


def back_off_s(failures: int, uniform: Uniform) -> float:
    """Return how long to wait after this many failures in a row (full jitter)."""
    most = min(BACK_OFF_MAX_S, 2.0 ** min(failures, 10))
    return uniform(BACK_OFF_MIN_S, most)


def reask_s(bus_up: bool, central_says_s: float, uniform: Uniform) -> float:
    """Return how long a parked ask waits for its wake-up before the pilot asks again."""
    if bus_up:
        return spread_s(central_says_s or REASK_S, uniform)
    least, most = REASK_BUS_DOWN_MIN_S, REASK_BUS_DOWN_MAX_S
    wanted = min(most, max(least, central_says_s or REASK_BUS_DOWN_S))
    return uniform(max(least, (1 - SPREAD) * wanted), min(most, (1 + SPREAD) * wanted))


def spread_s(wanted: float, uniform: Uniform) -> float:
    """Return a random time near the wanted one."""
    return uniform((1 - SPREAD) * wanted, (1 + SPREAD) * wanted)


def impatience_s(lease_s: float) -> float:
    """Return how long a heartbeat waits for its answer: 10 s at 120 s, in proportion below."""
    return min(IMPATIENCE_MAX_S, lease_s / 12)


def timeout_s(most: float, wanted: float) -> float:
    """Return how long a request may take."""
    return max(TIMEOUT_MIN_S, min(most, wanted))
