"""Which route a path means."""

import pytest

from pilotage.central.http.router import Router

ROUTER = Router(
    [
        ("GET", "/", "root"),
        ("GET", "/jobs", "list"),
        ("POST", "/jobs", "submit"),
        ("GET", "/jobs/{job}", "one"),
        ("POST", "/jobs/actions", "act"),
        ("GET", "/jobs/{job}/outputs/{name:path}", "output"),
        ("PUT", "/jobs/{number}", "set"),
        ("GET", "/jobs/{late}", "never"),
    ]
)


def test_a_route_that_is_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="GET /jobs is declared twice"):
        Router([("GET", "/jobs", 1), ("POST", "/jobs", 2), ("GET", "/jobs", 3)])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", {"GET": ("root", {})}),
        ("/jobs", {"GET": ("list", {}), "POST": ("submit", {})}),
        ("/jobs/", {"GET": ("list", {}), "POST": ("submit", {})}),
        ("/jobs/7", {"GET": ("one", {"job": "7"}), "PUT": ("set", {"number": "7"})}),
        ("/jobs/a\nb", {"GET": ("one", {"job": "a\nb"}), "PUT": ("set", {"number": "a\nb"})}),
        ("/jobs/actions", {"POST": ("act", {})}),
        ("/jobs/7/outputs/a/b.txt", {"GET": ("output", {"job": "7", "name": "a/b.txt"})}),
        ("/jobs/7/outputs", {}),
        ("/jobs//outputs/a", {}),
        ("/job", {}),
        ("", {"GET": ("root", {})}),
    ],
)
def test_a_path_has_what_fits(path: str, found: dict[str, tuple[str, dict[str, str]]]) -> None:
    assert dict(ROUTER.at(path)) == found
