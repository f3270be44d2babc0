"""How a payload is put into each rung: nothing of its environment reaches the wrapper."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotage.pilot.guard import cgroups
from pilotage.pilot.outfit.isolation import (
    BUBBLEWRAP,
    LADDER,
    SESSION,
    UNSHARE,
    best_rung,
    closed,
    keeps_groups,
    works,
    wrap,
)
from pilotage.pilot.outfit.trial import try_out

HERE = [rung for rung in (BUBBLEWRAP, UNSHARE) if works(rung)]

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
    state = Path("/usr/share")  # that is not in /tmp, which is private to each payload
    work = str(state / "attempts" / "1" / "work")

    feed = wrap(
        BUBBLEWRAP, {}, marks={}, folder=Path(work).parent, hidden=[state, state / "gone"]
    ).feed.split("\0")

    assert feed.index(str(state)) < feed.index("/tmp") < feed.index(work)
    assert feed[feed.index(str(state)) - 1] == "--tmpfs"
    assert feed[-3:] == ["--chdir", work, ""]
    assert str(state / "gone") not in feed


def test_what_payloads_could_write_to_unseen_is_read_only() -> None:
    feed = wrap(
        BUBBLEWRAP, {}, marks={}, folder=Path("/usr/share/1"), hidden=[Path("/usr/share")]
    ).feed.split("\0")

    assert feed[feed.index("--remount-ro") + 1] == "/usr/share"


def test_a_hidden_file_is_empty_instead_of_a_folder(tmp_path: Path) -> None:
    feed = wrap(
        BUBBLEWRAP, {}, marks={}, folder=tmp_path, hidden=[Path("/etc/hostname")]
    ).feed.split("\0")

    assert feed[feed.index("/etc/hostname") - 2 :][:2] == ["--ro-bind", "/dev/null"]


@pytest.mark.parametrize("rung", HERE)
def test_a_payload_has_a_private_tmp_in_which_is_shown_what_it_needs(
    rung: str, tmp_path: Path
) -> None:
    folder, file, tree = (tmp_path / name for name in ("own", "file", "tree"))
    for one in (*(folder / part for part in ("work", "tmp", "private")), tree):
        one.mkdir(parents=True)
    for one in (file, tree / "leaf"):
        one.write_text("shown")
    (tmp_path / "other").touch()
    shown = [str(file), str(tree), str(tmp_path / "gone")]
    wrapping = wrap(
        rung, {"PATH": "/usr/bin:/bin"}, marks={}, folder=folder, hidden=[tmp_path], shown=shown
    )
    script = f"cat {file} {tree}/leaf; ls {tmp_path}; pwd; ls /dev/shm; echo x >/tmp/made"
    script += "; cat /var/tmp/made; touch /dev/shm/x; wc -l </proc/sysvipc/shm"
    tried = try_out(
        wrapping, ("/bin/sh", "-ec", script), folder=str(folder / "work"), patience_s=10.0
    )

    assert tried.code == 0, tried.said
    work = str(folder / "work")
    assert tried.printed.decode().split() == ["shownshownfile", "own", "tree", work, "x", "1"]
    assert (folder / "private" / "made").read_text() == "x\n"


def test_the_plain_session_is_there_when_nothing_else_is() -> None:
    assert best_rung(()) == SESSION
    assert best_rung((SESSION, *LADDER)) == SESSION


@pytest.fixture
def tried_anew() -> Iterator[None]:
    """What was found out of control groups holds for this test alone."""
    closed.cache_clear()
    yield
    closed.cache_clear()


@pytest.mark.usefixtures("tried_anew")
@pytest.mark.parametrize("rung", HERE)
def test_a_tree_that_cannot_be_mounted_costs_the_groups_and_not_the_rung(
    rung: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cgroups, "open_trees", lambda: ("/proc/no-such-tree",))

    assert (works(rung), keeps_groups(rung)) == (True, False)
    wrapping = wrap(rung, {}, marks={}, folder=tmp_path)
    assert "no-such-tree" not in wrapping.feed + " ".join(wrapping.prefix)


@pytest.mark.usefixtures("tried_anew")
@pytest.mark.parametrize("rung", HERE)
def test_a_tree_of_control_groups_cannot_be_written_to(
    rung: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    tree = Path(tempfile.mkdtemp(dir="/srv"))  # /tmp is private to each payload
    request.addfinalizer(tree.rmdir)
    folder = tmp_path / "own"
    for part in ("work", "tmp", "private"):
        (folder / part).mkdir(parents=True)
    work = folder / "work"
    monkeypatch.setattr(cgroups, "open_trees", lambda: (str(tree),))
    wrapping = wrap(rung, {"PATH": "/usr/bin:/bin"}, marks={}, folder=folder)
    script = f"mkdir {tree}/of-payload; unshare -Urm umount {tree}; mkdir {tree}/of-root; touch x"
    tried = try_out(wrapping, ("/bin/sh", "-c", script), folder=str(work), patience_s=10.0)

    assert keeps_groups(rung)
    assert tried.code == 0
    assert list(tree.iterdir()) == []


def test_the_plain_session_has_groups_where_the_node_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cgroups, "open_trees", lambda: ("/proc/no-such-tree",))

    assert (keeps_groups(SESSION), closed(SESSION)) == (True, ())
