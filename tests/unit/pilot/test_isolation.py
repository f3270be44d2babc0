"""How a payload is put into each rung: nothing of its environment reaches the wrapper."""

from pathlib import Path

import pytest

from pilotage.pilot.isolation import BUBBLEWRAP, LADDER, SESSION, UNSHARE, best_rung, wrap

HOSTILE = {"LD_PRELOAD": "/tmp/evil.so", "BASH_ENV": "/tmp/evil", "PATH": "/tmp/evil"}
MARKS = {"PILOTAGE_ATTEMPT": "7"}


@pytest.mark.parametrize("rung", [BUBBLEWRAP, UNSHARE])
def test_a_wrapper_starts_with_a_clean_environment(rung: str) -> None:
    wrapping = wrap(rung, HOSTILE, marks=MARKS)

    assert set(wrapping.environment) == {"PATH", "PILOTAGE_ATTEMPT"}
    assert wrapping.environment["PATH"] != "/tmp/evil"
    assert "/tmp/evil.so" in wrapping.feed
    assert not any("evil" in word for word in wrapping.prefix)


def test_without_a_wrapper_the_environment_is_the_payloads() -> None:
    wrapping = wrap(SESSION, HOSTILE, marks=MARKS)

    assert wrapping.prefix == ()
    assert wrapping.environment == {**HOSTILE, **MARKS}


def test_a_shell_gets_quoted_values_and_no_name_that_it_would_trip_over() -> None:
    environment = {"A": "it's; $(id)\n", "UID": "0", "not a name": "x", "1": "x", "": "x"}

    feed = wrap(UNSHARE, environment, marks={}).feed

    assert feed == "export A='it'\"'\"'s; $(id)\n'\n"


def test_the_pilots_folder_is_hidden_before_the_payloads_own_is_shown() -> None:
    feed = wrap(
        BUBBLEWRAP, {}, marks={}, folders=[Path("/s/a/work")], hidden=[Path("/s")]
    ).feed.split("\0")

    assert feed.index("--tmpfs") < feed.index("/s/a/work")
    assert feed[-3:] == ["--chdir", "/s/a/work", ""]


def test_the_plain_session_is_there_when_nothing_else_is() -> None:
    assert best_rung(()) == SESSION
    assert best_rung((SESSION, *LADDER)) == SESSION
