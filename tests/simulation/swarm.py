"""What a seed turns on: each world has a random subset of all faults (a swarm).

With all of them on, the loud ones hide what the quiet ones would show.
"""

import random
from dataclasses import dataclass

from .network import Weather

NETWORK = ("loss", "copies", "slow", "cuts", "one_way_cuts", "bus_cuts", "central_bus_cuts")
CENTRAL = (
    "central_killed",
    "central_power",
    "central_stopped",
    "central_ended",
    "central_any_step",
    "central_any_point",
    "wall_jumps",
)
STORE = ("store_full", "store_fails", "answers_lost", "store_stalls")
PILOTS = (
    "pilots_killed",
    "pilots_stopped",
    "pilots_any_step",
    "pilots_any_point",
    "pilots_ended",
    "guards_killed",
    "guards_stopped",
    "nodes_off",
    "nodes_suspended",
    "nodes_full",
    "clones",
    "thieves",
)
BUS = ("bus_down", "links_cut")
AIMED = (
    "cut_at_start",
    "cut_at_match",
    "cut_at_result",
    "cut_at_restart",
    "cut_at_takeover",
    "heal_at_takeover",
    "kill_at_match",
    "kill_at_result",
    "kill_at_submit",
    "suspend_at_start",
    "stall_at_requeue",
    "cut_twice",
)
PEOPLE = ("kills", "holds", "reschedules", "deletes", "priorities")
ALL = (*NETWORK, *CENTRAL, *STORE, *PILOTS, *BUS, *AIMED, *PEOPLE)
# What has to come together for the rarer stories; two of three worlds have one of these.
PLOTS = (
    {"cut_at_start"},
    {"cut_at_start", "cut_at_match"},
    {"cut_at_start", "slow"},
    {"cut_twice"},
    {"cut_twice", "copies"},
    {"cut_at_start", "pilots_stopped"},
    {"cut_at_start", "stall_at_requeue"},
    {"cut_at_start", "heal_at_takeover"},
    {"cut_at_start", "central_killed"},
    {"cut_at_match", "slow", "loss"},
    {"cut_at_takeover", "cuts"},
    {"cut_at_result", "kill_at_result"},
    {"cut_at_restart", "kill_at_match"},
    {"kill_at_submit", "central_power"},
    {"kills", "bus_down"},
    {"kills", "cut_at_result", "slow"},
    {"reschedules", "holds"},
    {"reschedules", "bus_down", "cuts"},
    {"suspend_at_start"},
    {"nodes_suspended", "pilots_stopped"},
    {"clones", "cuts"},
    {"thieves", "cuts"},
    {"copies", "slow", "pilots_any_point", "pilots_killed"},
    {"links_cut", "central_stopped"},
    {"store_fails", "store_stalls"},
    {"central_any_point", "pilots_any_point"},
)


@dataclass(frozen=True)
class Swarm:
    """What may go wrong in one world, and how its jobs are."""

    faults: frozenset[str]
    weather: Weather
    aim: float  # how often an aimed fault hits
    pilots: int
    lease_s: float
    watch_s: float
    pilot_token_s: float
    long_job: bool  # one that only a kill ends
    wide_jobs: bool
    failing_jobs: bool
    limits: bool  # of sites: how many run, how fast they start


def swarm(chance: random.Random) -> Swarm:
    """Draw a world."""
    share = chance.choice((0.0, 0.05, 0.12, 0.3))
    drawn = {fault for fault in ALL if chance.random() < share}
    if chance.random() < 0.67:
        drawn |= PLOTS[chance.randrange(len(PLOTS))]
    faults = frozenset(drawn)
    loss = chance.choice((0.02, 0.1, 0.4)) if "loss" in faults else 0.0
    slow_s = chance.choice((20.0, 100.0)) if "slow" in faults else 0.3
    copies = 0.05 if "copies" in faults else 0.0
    return Swarm(
        faults=faults,
        aim=chance.choice((0.2, 0.5, 0.8)),
        weather=Weather(loss=loss, copies=copies, slow_s=slow_s),
        pilots=chance.choice((2, 3, 3)),
        lease_s=120.0,
        watch_s=chance.choice((2.0, 4.0)),
        pilot_token_s=chance.choice((3_600.0, 300.0)),
        long_job="kills" in faults and chance.random() < 0.8,
        wide_jobs=chance.random() < 0.2,
        failing_jobs=chance.random() < 0.3,
        limits=chance.random() < 0.3,
    )
