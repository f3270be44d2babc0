"""Names of images in registries."""

import pytest

from pilotage.proto.images import BadReference, read_reference

DIGEST = "sha256:" + "0a" * 32
READ = {
    "debian": "docker.io/library/debian:latest",
    "python:3.11": "docker.io/library/python:3.11",
    "owner/name": "docker.io/owner/name:latest",
    "docker.io/python": "docker.io/library/python:latest",
    "index.docker.io/owner/name:1": "docker.io/owner/name:1",
    "GHCR.io/owner/a/b_c:v1.0-x": "ghcr.io/owner/a/b_c:v1.0-x",
    "localhost/a": "localhost/a:latest",
    "localhost:5000/a:1": "localhost:5000/a:1",
    f"debian:13@{DIGEST}": f"docker.io/library/debian@{DIGEST}",
}
BAD = (
    *("", "/", ":13", "a:", "a@", "a@13", "A", "a//b", "-a", "a/-b", "a b", "a:b:c", "a?b", "../a"),
    *(
        "ghcr.io",
        f"a@{DIGEST}0",
        f"a@{DIGEST.upper()}",
        "-.io/a",
        "u:p@ghcr.io/a",
        "a:" + "x" * 129,
    ),
    *("ghcr.io:port/a", "ghcr.io:1:2/a", "a\n", "a:1\n", "ä"),
)


@pytest.mark.parametrize("said", READ)
def test_a_name_is_read_as_docker_reads_it(said: str) -> None:
    assert str(read_reference(f"docker://{said}")) == READ[said]


@pytest.mark.parametrize("said", [one for one in BAD if one not in ("a:", "ghcr.io")])
def test_a_name_that_no_registry_can_have_is_refused(said: str) -> None:
    with pytest.raises(BadReference):
        read_reference(f"docker://{said}")


def test_only_a_registry_on_this_machine_may_use_plain_http() -> None:
    local = {one: read_reference(f"docker://{one}/a").is_local for one in LOCAL}

    assert local == LOCAL


LOCAL = {
    "localhost": True,
    "localhost:5000": True,
    "127.0.0.1:80": True,
    "127.1.2.3": True,
    "127.0.0.1.example.org": False,
    "localhost.example.org": False,
    "ghcr.io": False,
}
