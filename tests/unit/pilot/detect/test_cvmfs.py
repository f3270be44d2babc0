"""Which repositories are found: mounted, configured, wanted, and what the look into them prints."""

from pathlib import Path

import pytest

from pilotage.pilot.detect import cvmfs

from ....nodes.recorded import parse

AUTOFS = "auto /cvmfs autofs rw"
CONFIG = "CVMFS_REPOSITORIES='a.org, b.org'"

# Mounts, /etc/cvmfs/default.local, wanted, what the look prints: found, and what is asked for.
TABLE: list[tuple[str, str, str, str, str, str]] = [
    ("cvmfs2 /cvmfs/a.org fuse ro", "", "", "", "a.org", ""),
    ("", CONFIG, "", "/cvmfs/a.org/.", "", ""),  # no autofs: nothing is mounted on use
    (AUTOFS, CONFIG, "", "/cvmfs/a.org/.", "a.org", "a.org b.org"),
    (AUTOFS, CONFIG, "c.org", "/cvmfs/c.org/.", "c.org", "a.org b.org c.org"),
    ("", "", "c.org", "/cvmfs/c.org/.\n", "c.org", "c.org"),
    (f"{AUTOFS}\ncvmfs2 /cvmfs/a.org fuse ro", CONFIG, "", "", "a.org", "b.org"),
    (AUTOFS, CONFIG, "", "/cvmfs/evil.org/.\n/cvmfs/../.\nrubbish", "", "a.org b.org"),
    (AUTOFS, "CVMFS_REPOSITORIES=$(reboot)", "", "", "", ""),
    ("x /cvmfs/.. fuse ro\ny /cvmfs/a/b fuse ro\nz /elsewhere fuse ro", "", "", "", "", ""),
]


@pytest.mark.parametrize(("table", "config", "wanted", "printed", "found", "asked"), TABLE)
def test_repositories_are_found(
    table: str, config: str, wanted: str, printed: str, found: str, asked: str, tmp_path: Path
) -> None:
    node = parse("")
    node.files = {"/proc/self/mounts": table, "/etc/cvmfs/default.local": config}
    look = " ".join(["look", *(f"/cvmfs/{name}" for name in asked.split())])
    node.printed = {look: printed} if asked else {}

    answer = cvmfs.repositories(node.surroundings(tmp_path), wanted.split())

    missing = sorted(set(asked.split()) - set(found.split()))
    assert answer.value == tuple(found.split())
    assert answer.notes == ((f"unavailable: {', '.join(missing)}",) if missing else ())
