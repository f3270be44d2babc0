"""Several servers in one URL: how they are written, and which is asked first."""

import pytest

from pilotage.central.store.postgresql.servers import Server, Servers, named_by

ONE, TWO, THREE = Server("one"), Server("two"), Server("three")


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("//pilotage@one:5432,two:6543/pilotage", [("one", 5432), ("two", 6543)]),
        ("//pilotage@one,two:6543/pilotage", [("one", None), ("two", 6543)]),
        ("//one,two/pilotage?port=6543", [("one", 6543), ("two", 6543)]),
        ("//one,two:1/pilotage?port=6543,6544", [("one", 6543), ("two", 1)]),
        ("//[::1]:5432,[::2]/pilotage", [("::1", 5432), ("::2", None)]),
        ("//pilotage@/pilotage?host=one:1,two:2", [("one", 1), ("two", 2)]),
        ("//pilotage@/pilotage?host=/run/one,/run/two", [("/run/one", None), ("/run/two", None)]),
        ("//%2Frun%2Fone,two/pilotage", [("/run/one", None), ("two", None)]),
        ("//one,,two/pilotage", [("one", None), ("two", None)]),
        ("//one/pilotage?host=two", [("one", None)]),
        ("//pilotage@/pilotage", []),
        ("//one,two/pilotage?port=1,2,3", []),  # asyncpg says it
    ],
)
def test_servers_are_written_as_libpq_has_them(
    url: str, named: list[tuple[str, int | None]]
) -> None:
    assert list(named_by(f"postgresql:{url}")) == named


def test_a_port_that_is_none_is_a_wrong_url() -> None:
    with pytest.raises(ValueError, match="first"):
        named_by("postgresql://one:first,two/pilotage")


def test_who_failed_is_asked_last_and_who_answered_first() -> None:
    servers = Servers((ONE, TWO, THREE))
    for failed in (ONE, TWO):  # and the third has answered
        servers.failed(failed)

    assert servers.order == (THREE, ONE, TWO)

    servers.failed(THREE)
    servers.failed(THREE)  # another connection found the same

    assert servers.order == (ONE, TWO, THREE)
