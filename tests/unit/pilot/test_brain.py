"""The rules of PROTOCOL for pilots, each as a story. `stories.py` explains how to read them."""

import pytest

from .stories import Story

# P1: asks ---------------------------------------------------------------------------------------

ASKS = {
    "an ask is repeated with its number until answered; its fence counts from the first time": """
    0     tick              ask 1
    20    http 0            https beat 1 [] closed 0
    20.1  got
    21    tick              ask 1
    21.1  http 503
    22.1  tick              ask 1
    22.5  got A B           journal A; journal B; start A fence 96; start B fence 96
    """,
    "an ask is closed after half a lease; an answer that comes later is ignored": """
    0     tick              ask 1
    59.9  tick
    60    tick
    61    got A             https beat 1 [] closed 1
    61.05 got               ask 2
    61.1  got B C           journal B; journal C; start B fence 157.05; start C fence 157.05
    """,
    "the next ask after a closed one has the next number, and beats say which is closed": """
    0     tick              ask 1
    60    tick
    60.1  http 0            https beat 1 [] closed 1
    60.2  got
    61.1  tick              ask 2
    """,
    "a parked ask asks again on a wake-up, once, and only on its own number": """
    0     bus up            ask 1
    0.1   got parked
    0.5   down wake 7
    0.6   down wake 1       ask 2
    0.7   got A parked      journal A; start A fence 96.6
    0.8   down wake 1
    """,
    "when the bus comes while an ask is parked, a beat finds out whether a wake-up was lost": """
    0     tick              ask 1
    0.1   got parked
    0.2   bus up            beat 1 [] closed 1 parked 1
    0.3   down beat 1 again  ask 2
    """,
    "a wake-up that is faster than the reply which says parked is not lost": """
    0     bus up            ask 1
    0.1   down wake 1
    0.2   got parked        ask 2
    0.3   down wake 1
    0.4   got parked
    """,
    "a parked ask asks again after 300 s less 20 %, because its wake-up may be lost": """
    0     bus up            ask 1
    0.1   got parked
    1     tick              beat 1 [] closed 1 parked 1
    1.1   down beat 1
    41    tick              beat 2 [] closed 1 parked 1
    41.1  down beat 2
    240   tick              beat 3 [] closed 1 parked 1
    240.1 down beat 3       ask 2
    """,
    "… or after the time that the central says, less 20 % as well": """
    0     bus up            ask 1
    0.1   got parked retry=20
    1     tick              beat 1 [] closed 1 parked 1
    1.1   down beat 1
    16    tick
    16.1  tick              ask 2
    16.2  got parked retry=2
    17.7  tick
    17.8  tick              ask 3
    """,
    "while the bus is down it asks again after the time that the central says, in 5 to 60 s": """
    0     tick              ask 1
    0.1   got parked retry=10
    1     tick              https beat 1 [] closed 1 parked 1
    1.1   got
    8     tick
    8.1   tick              ask 2
    8.2   got parked retry=1
    13.1  tick
    13.2  tick              ask 3
    13.3  got parked retry=300
    41    tick              https beat 2 [] closed 3 parked 3
    41.1  got
    61.2  tick
    61.3  tick              ask 4
    """,
    "the bus going down brings the next ask nearer": """
    0     bus up            ask 1
    0.1   got parked
    1     tick              beat 1 [] closed 1 parked 1
    1.1   down beat 1
    30    bus down
    41    tick              https beat 2 [] closed 1 parked 1
    41.1  got
    46    tick              ask 2
    """,
    "an answer to a beat that knows of work brings the next ask, if that ask is still parked": """
    0     bus up            ask 1
    0.1   got parked
    1     tick              beat 1 [] closed 1 parked 1
    1.1   down beat 1 again  ask 2
    1.2   got parked
    1.3   down beat 1 again
    """,
    "a leader that has just begun calls whichever ask is parked; another one leads no more": """
    0     bus up            ask 1
    0.1   got parked term=5
    0.2   down wake 0 term=4
    0.3   down wake 0 term=6  go home; ask 2
    0.4   got parked term=6
    0.5   down wake 0 term=6  ask 3
    0.6   down wake 0 term=6
    0.7   got A B term=6    journal A; journal B; start A fence 96.5; start B fence 96.5
    0.8   down wake 0 term=6
    0.9   down wake 0 term=7  go home
    """,
    "a part of the offer that is still free is offered again at once": """
    0     bus up            ask 1
    0.1   got A             journal A; start A fence 96; ask 2
    0.2   got parked
    """,
    "much more room on the disk is offered at once, a little more or less is not": """
    0     bus up            ask 1
    0.1   got parked
    0.2   disk 100999
    0.3   disk 50000
    0.4   disk 101000       ask 2
    """,
    "nothing is asked while nothing is free": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    1     tick              beat 1 [AB] closed 1
    1.1   down beat 1       fence A 97; fence B 97
    30    tick
    """,
    "neither matched nor parked: ask again after the time that the central says": """
    0     bus up            ask 1
    0.1   got retry=0.5
    0.4   tick
    0.5   tick              ask 2
    """,
    "a reply that leaves the ask out does not bring it again at once": """
    0     bus up            ask 1
    0.1   got unasked
    1     tick              beat 1 [] closed 0
    1.1   tick              ask 1
    """,
    "an answer of a leader that was replaced is no answer": """
    0     bus up            ask 1
    0.1   got parked term=5
    0.2   down wake 1 term=4
    0.3   down wake 1 term=5  ask 2
    0.4   got A term=4
    1     tick              beat 1 [] closed 1
    1.4   tick              ask 2
    1.5   got A term=5      journal A; start A fence 96.3; ask 3
    """,
}

# P2: fences -------------------------------------------------------------------------------------

FENCES = {
    "a fence moves to 0.8 of a lease after the sending of the answered beat that listed it": """
    0     bus up            ask 1
    0.1   got A             journal A; start A fence 96; ask 2
    0.2   got parked
    0.3   started A         beat 1 [A] closed 2 parked 2
    0.9   down beat 1       fence A 96.3; A started 1
    """,
    "an answer to an older beat than one that was answered moves nothing": """
    0     bus up            ask 1
    0.1   got A parked      journal A; start A fence 96
    0.3   started A         beat 1 [A] closed 1 parked 1
    0.6   tick              A started 1
    0.7   got
    5     bus up
    40.3  tick              https beat 2 [A] closed 1 parked 1
    40.4  got               fence A 136.3
    41    down beat 1
    """,
    "a beat that does not list an attempt does not renew it": """
    0     bus up            ask 1
    1     tick              beat 1 [] closed 0
    1.2   got A parked      journal A; start A fence 96
    1.4   down beat 1
    """,
    "an attempt that an answer calls stale is not renewed but killed": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   down beat 1 stale=A  fence B 96.2; stop A 0
    0.35  gone A signal     journal A stale
    0.36  tick              A ended stale 2 + ask 2
    """,
    "answers of a lower term move no fence": """
    0     bus up            ask 1
    0.1   got A parked term=3  journal A; start A fence 96
    0.2   started A         beat 1 [A] closed 1 parked 1
    0.3   down beat 1 term=2
    0.3   down beat 1 term=3   fence A 96.2
    """,
    "an answer to a beat of an older session means nothing": """
    0     bus up            ask 1
    0.1   got A parked      journal A; start A fence 96
    0.2   started A         beat 1 [A] closed 1 parked 1
    0.3   down beat 1 session=2
    0.4   down beat 1 old_session session=2
    0.5   tick              A started 1
    """,
}

# beats ------------------------------------------------------------------------------------------

BEATS = {
    "a beat without an answer for 10 s goes over HTTPS, every 10 s until one is answered": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    1     tick              beat 1 [AB] closed 1
    10.9  tick
    11    tick              https beat 2 [AB] closed 1
    15    http 0
    20.9  tick
    21    tick              https beat 3 [AB] closed 1
    21.5  got               fence A 117; fence B 117
    31    tick
    61    tick              beat 4 [AB] closed 1
    """,
    "without a bus every beat goes over HTTPS, each third of a lease": """
    0     tick              ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    1     tick              https beat 1 [AB] closed 1
    1.1   got               fence A 97; fence B 97
    40.9  tick
    41    tick              https beat 2 [AB] closed 1
    """,
    "payloads that start in a burst share a first beat": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   started B
    1     tick              A started 1 + B started 1
    1.2   tick              beat 2 [AB] closed 1
    """,
    "a short lease beats more often and loses patience sooner": """
    0     bus up            ask 1
    0.1   got S A           journal S; journal A; start S fence 12; start A fence 96
    1     tick              beat 1 [SA] closed 1
    2.25  tick              https beat 2 [SA] closed 1
    2.3   got               fence S 14.25; fence A 98.25
    7.25  tick              beat 3 [SA] closed 1
    """,
    "the request on the way is not disturbed: a beat over HTTPS waits for its end": """
    0     tick              ask 1
    5     tick
    9     http 0            https beat 1 [] closed 0
    """,
}

# P3: declined -----------------------------------------------------------------------------------

DECLINED = {
    "an assignment with less than 0.3 of a lease to its fence is not started": """
    0     bus up            ask 1
    1     tick              beat 1 [] closed 0
    1.1   down beat 1
    59    got A             journal A; start A fence 96; beat 2 [A] closed 1; ask 2
    """,
    "… and with a lease of 15 s after 8 s it is": """
    0     bus up            ask 1
    1     tick              beat 1 [] closed 0
    1.1   down beat 1
    8     got S             journal S declined; S ended declined 1
    9     got               forget S; ask 2
    """,
    "what fits no more is declined": """
    0     bus up            ask 1
    0.1   got X A           journal X declined; journal A; start A fence 96; X ended declined 1
    """,
    "what would run longer than was offered is declined": """
    0     bus up            ask 1
    0.1   got W             journal W declined; W ended declined 1
    """,
}

# P5: stop ---------------------------------------------------------------------------------------

STOPS = {
    "a stop gets a soft signal and its grace; its end is told when nothing of it is left": """
    0     bus up            ask 1
    0.1   got A parked      journal A; start A fence 96
    0.2   started A         beat 1 [A] closed 1 parked 1
    5     down stop A       stop A 10; A started 1
    5.1   got
    5.2   down stop A
    9     gone A signal killed  collect A
    9.1   collected A       journal A killed; A ended killed 2 + ask 2
    """,
    "a stop that is faster than its assignment is remembered and obeyed on arrival": """
    0     bus up            ask 1
    0.1   down stop A
    0.2   got A             journal A killed; A ended killed 1
    """,
    "a stop in a reply to a turn counts before the assignment in it": """
    0     bus up            ask 1
    0.2   got A B stop=A    journal A killed; journal B; start B fence 96; A ended killed 1
    """,
    "what is still bringing its input is given up at once": """
    0     bus up            ask 1
    0.1   got I parked      journal I; stage I
    0.2   down stop I       abandon I; journal I killed; I ended killed 1 + ask 2
    """,
}

# P6: reports and journal ------------------------------------------------------------------------

REPORTS = {
    "an end is in the journal before it is sent, and forgotten once it is answered": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   gone A 0          collect A outputs
    0.3   collected A       journal A exited; A ended exited 2 + ask 2
    0.4   http 0
    1.4   tick              A ended exited 2 + ask 2
    1.5   got parked        forget A
    """,
    "a payload shorter than a quarter of a second says its start and its end in one": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.11  started A         beat 1 [AB] closed 1
    0.2   gone A 0          collect A outputs
    0.2   collected A       journal A exited; A ended exited 2 + ask 2
    """,
    "while its output travels the next ask goes ahead of the report": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   gone A 0          collect A outputs
    0.3   tick              ask 2
    0.4   got parked
    0.9   collected A       journal A exited; A ended exited 2
    1     got               forget A
    """,
    "an attempt is held, and listed, until its end is answered": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   gone A 0          collect A outputs
    0.3   collected A       journal A exited; A ended exited 2 + ask 2
    0.5   http 0
    1.2   started B         beat 2 [AB] closed 1
    """,
    "blobs that the central misses are uploaded, then the same report is repeated": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   gone A 0          collect A outputs
    0.3   collected A       journal A exited; A ended exited 2 + ask 2
    0.4   got parked answer=missing  upload A
    0.9   uploaded A        A ended exited 2
    1     got answer=already  forget A
    """,
    "an end that the central cannot read goes once more in fixed words, then it stays held": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   gone A 0          collect A outputs
    0.3   collected A       journal A exited; A ended exited 2 + ask 2
    0.4   http 422 invalid  A ended exited 2
    0.5   http 422 invalid  A ended unreadable_report 3
    0.6   http 422 invalid  ask 2
    0.7   got parked
    600   tick              https beat 2 [AB] closed 2 parked 2
    600.1 got               fence B 696; ask 3
    600.2 got parked
    600.7 tick              A ended unreadable_report 3
    600.8 got answer=ok     forget A
    """,
    "a pilot that is leaving lets go of an end that the central cannot read": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   gone A 0          collect A outputs
    0.3   collected A       journal A exited; A ended exited 2 + ask 2
    0.35  drain
    0.4   http 422 invalid  A ended exited 2
    0.5   http 422 invalid  A ended unreadable_report 3
    0.6   http 422 invalid  forget A
    """,
    "a report that was left out of the reply is repeated, and not at once": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.5   tick              A started 1
    0.6   got answer=none
    1.6   tick              A started 1
    """,
    "ends of an earlier life are told first": """
    0     restored A
    0     tick              A ended 4 + ask 1
    0.1   got parked        forget A
    """,
    "input that came and cannot be used will be no better on another node: it is no start": """
    0     bus up            ask 1
    0.1   got I A           journal I; journal A; stage I; start A fence 96
    0.2   staging-useless I  journal I no_start; I ended no_start 1 + ask 2
    """,
    "input that cannot be brought, a payload that does not start": """
    0     bus up            ask 1
    0.1   got I A           journal I; journal A; stage I; start A fence 96
    0.2   staging-failed I  journal I input; I ended input 1 + ask 2
    0.3   got parked        forget I
    0.4   not-started A     journal A no_start; A ended no_start 1 + ask 3
    """,
    "a signal of its own, the wall, and hours in the frost end by their names": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   gone A signal     collect A
    0.3   collected A       journal A signalled; A ended signalled 2 + ask 2
    0.4   got parked        forget A
    0.5   started B
    0.6   gone B signal wall  collect B
    0.6   collected B       journal B wall; B ended wall 2 + ask 3
    """,
}

# P7: stale, other session, other store ----------------------------------------------------------

DISOWNED = {
    "a stale attempt whose end is not answered yet ends as stale, once, and is listed no more": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   gone A 0          collect A outputs
    0.3   collected A       journal A exited; A ended exited 2 + ask 2
    0.4   http 0
    0.5   down beat 1 stale=A  fence B 96.2; abandon A; journal A stale
    1.3   started B         beat 2 [B] closed 1
    1.4   tick              A ended stale 3 + ask 2
    1.5   got parked        forget A
    """,
    "a start that is answered with stale kills the payload": """
    0     bus up            ask 1
    0.1   got A parked      journal A; start A fence 96
    0.2   started A         beat 1 [A] closed 1 parked 1
    0.5   tick              A started 1
    0.6   got answer=stale  stop A 0
    0.7   gone A signal     journal A stale
    0.7   tick              A ended stale 2 + ask 2
    """,
    "an old session ends at once, over HTTPS": """
    0     bus up            ask 1
    0.1   got A parked      journal A; start A fence 96
    0.2   started A         beat 1 [A] closed 1 parked 1
    0.5   tick              A started 1
    0.6   http 409 old_session  kill all; exit 10
    0.7   tick
    """,
    "an old session ends at once, over the bus": """
    0     bus up            ask 1
    0.1   got A parked      journal A; start A fence 96
    0.2   started A         beat 1 [A] closed 1 parked 1
    0.3   down beat 1 old_session  kill all; exit 10
    """,
    "another store ends it as well": """
    0     bus up            ask 1
    0.1   http 410 other_store  kill all; exit 11
    """,
}

# ends -------------------------------------------------------------------------------------------

FOLLOWED = {
    "output is sent live only while somebody follows": """
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    0.3   down follow A     follow A
    0.4   down beat 1 follow=AB  fence A 96.2; fence B 96.2; follow AB
    0.5   tick              A started 1
    0.6   got
    1.2   started B         beat 2 [AB] closed 1
    1.3   down beat 2 follow=B  fence A 97.2; fence B 97.2; follow B
    1.4   gone B 0          collect B outputs
    1.4   collected B       journal B exited; follow; B ended exited 2 + ask 2
    """,
}

ENDS = {
    "a pilot that drains asks no more, finishes, says goodbye and ends": """
    0     bus up            ask 1
    0.1   got A parked      journal A; start A fence 96
    0.2   started A         beat 1 [A] closed 1 parked 1
    0.3   drain
    0.5   tick              A started 1
    0.6   got
    9     gone A 0          collect A outputs
    9     collected A       journal A exited; A ended exited 2
    9.1   got               forget A; https beat 2 [] closed 1 parked 1 goodbye
    9.2   got               exit 0
    """,
    "what an ask brings after the drain is not taken, and the goodbye says so": """
    0     bus up            ask 1
    0.1   drain
    0.2   got A             https beat 1 [] closed 1 goodbye
    0.3   got               exit 0
    """,
    "a goodbye that nobody answers is tried three times": """
    0     bus up            ask 1
    0.1   got parked
    0.2   drain             https beat 1 [] closed 1 parked 1 goodbye
    0.3   http 0
    1.2   tick              https beat 2 [] closed 1 parked 1 goodbye
    1.3   http 0
    2.2   tick              https beat 3 [] closed 1 parked 1 goodbye
    2.3   http 0            exit 0
    """,
    "a hurried pilot stops its payloads and says drained": """
    0     bus up            ask 1
    0.1   got A parked      journal A; start A fence 96
    0.2   started A         beat 1 [A] closed 1 parked 1
    1     hurry             stop A 10; A started 1
    1.1   got
    2     gone A signal killed  collect A
    2     collected A       journal A drained; A ended drained 2
    """,
    "the central ends a pilot and what it holds in the answer to a beat": """
    0     bus up            ask 1
    0.1   got A parked      journal A; start A fence 96
    0.2   started A         beat 1 [A] closed 1 parked 1
    1     down beat 1 hurry  fence A 96.2; stop A 10; A started 1
    1.1   got
    2     gone A signal killed  collect A
    2     collected A       journal A drained; A ended drained 2
    """,
    "the central drains a pilot in the answer to a beat": """
    0     bus up            ask 1
    0.1   got parked
    1     tick              beat 1 [] closed 1 parked 1
    1.1   down beat 1 drain  https beat 2 [] closed 1 parked 1 goodbye
    """,
}


ALL = {**ASKS, **FENCES, **BEATS, **DECLINED, **STOPS, **REPORTS, **DISOWNED, **FOLLOWED, **ENDS}


@pytest.mark.parametrize("name", ALL)
def test_the_pilot_keeps_the_rule_that(name: str) -> None:
    Story().tell(ALL[name])


def test_a_remembered_stop_is_forgotten_after_a_lease() -> None:
    Story().tell("""
    0     bus up            ask 1
    0.1   down stop A
    0.2   got parked
    1     tick              beat 1 [] closed 1 parked 1
    1.1   down beat 1
    121   tick              beat 2 [] closed 1 parked 1
    121.1 down beat 2 again  ask 2
    121.2 got A parked      journal A; start A fence 217.1
    """)


def test_an_idle_pilot_ends_by_itself() -> None:
    Story(idle_s=30).tell("""
    0     bus up            ask 1
    0.1   got parked
    1     tick              beat 1 [] closed 1 parked 1
    1.1   down beat 1
    29.9  tick
    30    tick              https beat 2 [] closed 1 parked 1 goodbye
    30.1  got               exit 0
    """)


def test_at_the_end_of_its_time_a_pilot_stops_its_payloads_as_drained() -> None:
    Story(stop_at=30).tell("""
    0     bus up            ask 1
    0.1   got A parked      journal A declined; A ended declined 1
    """)
    Story(stop_at=4_000).tell("""
    0     bus up            ask 1
    0.1   got A B           journal A; journal B; start A fence 96; start B fence 96
    0.2   started A         beat 1 [AB] closed 1
    1     down beat 1       fence A 96.2; fence B 96.2; A started 1
    1.1   got
    3995  gone B 0          collect B outputs
    3995  collected B       journal B exited; beat 2 [AB] closed 1; B ended exited 1
    3995.1  got             forget B
    4000  tick              stop A 10
    4001  gone A signal killed  collect A
    4001  collected A       journal A drained; A ended drained 2
    """)


def test_a_limit_that_comes_nearer_is_offered_at_once_and_ends_payloads_earlier() -> None:
    story = Story(stop_at=99_940, end_at=100_000)
    story.tell("""
    0     bus up            ask 1
    0.1   got A parked      journal A; start A fence 96
    0.2   started A         beat 1 [A] closed 1 parked 1
    1     down beat 1       fence A 96.2; A started 1
    1.1   got
    20    limit 5000        ask 2
    20.5  got parked
    """)

    assert story.asked is not None
    assert story.asked.offer.wall_left_s == 5000 - 60 - 20


def test_what_an_ask_brings_that_offered_more_than_the_new_limit_is_not_taken() -> None:
    Story(stop_at=99_940, end_at=100_000).tell("""
    0     tick              ask 1
    1     limit 500
    1.1   got A             https beat 1 [] closed 1
    1.2   got               ask 2
    """)


def test_a_limit_that_moves_by_seconds_is_no_news() -> None:
    Story(stop_at=99_940, end_at=100_000).tell("""
    0     bus up            ask 1
    0.1   got parked
    0.5   limit 100004
    0.6   limit 99997
    0.7   limit 200000      ask 2
    """)


def test_when_its_time_is_over_it_ends_with_what_is_not_answered() -> None:
    Story(stop_at=50, end_at=60).tell("""
    0     bus up            ask 1
    0.1   http 503
    50    tick              https beat 1 [] closed 1 goodbye
    60    tick              exit 0
    """)


def test_without_anything_to_do_it_sleeps_until_the_next_beat() -> None:
    story = Story()
    story.tell("""
    0     bus up            ask 1
    0.1   got parked
    1     tick              beat 1 [] closed 1 parked 1
    1.1   down beat 1
    """)

    assert story.brain.due() == 41


def test_whatever_is_due_is_done_when_its_time_comes() -> None:
    """`due` never points at a moment at which `tick` has nothing to do, or it would spin."""
    story = Story(stop_at=2_000, idle_s=500)
    now, ticks = 0.0, 0
    story.happen(["tick"], now)
    while (now := story.brain.due()) != float("inf") and ticks < 10_000:
        commands = story.happen(["tick"], now)
        ticks += 1
        if any(type(one).__name__.startswith("Send") for one in commands):
            story.happen(["http", "503"], now + 0.1)

    assert ticks < 1_000


def test_a_pilot_that_slept_past_a_beat_does_not_spin_while_its_request_is_on_the_way() -> None:
    """The beat was for the bus; now it is overdue, and HTTPS is taken: it waits for the reply."""
    story = Story()
    story.tell("""
    0     bus up            ask 1
    0.1   got A             journal A; start A fence 96; ask 2
    0.2   started A         beat 1 [A] closed 1
    0.3   got B             journal B; start B fence 96.1
    0.4   started B
    0.7   tick              A started 1 + B started 1
    30    tick
    """)

    assert story.brain.due() > 30.0
