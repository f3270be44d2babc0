"""Which store a central opens: what is said where a database cannot be spoken to from here."""

import sys

import pytest

from pilotage.central.operate.store_selection import check_url
from pilotage.central.settings import BadSetting


def test_what_is_missing_for_a_database_is_said_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [one for one in sys.modules if one.startswith("pilotage.central.store.postgresql")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(BadSetting) as refused:
        check_url("postgresql://db.example.org/pilotage")

    # Pilotage is on no package index: its name alone would find nothing, or another's.
    said = "store.url: asyncpg is not installed: "
    assert str(refused.value).startswith(f"{said}{sys.executable} -m pip install '.[postgresql]' ")
