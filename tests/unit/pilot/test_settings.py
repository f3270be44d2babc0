"""Where a pilot's settings come from, and which are refused."""

from pathlib import Path
from typing import Any

import pytest

from pilotage.pilot.settings import BadSettings, load, read_secret


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "pilot.json"
    file.write_text('{"central": "https://a", "cores": 2, "tags": ["x"], "idle_s": 5}')
    environment = {"PILOTAGE_PILOT__CORES": "4", "PILOTAGE_PILOT__TAGS": "a, b", "PATH": "/bin"}

    settings = load(str(file), environment, {"cores": 8, "central": None})

    assert (settings.central, settings.cores, settings.tags) == ("https://a", 8, ("a", "b"))
    assert settings.idle_s == 5.0


REFUSED: dict[str, dict[str, Any]] = {
    "cores": {"cores": "many"},
    "memory_mb": {"memory_mb": -1},
    "plain_http": {"plain_http": "perhaps"},
    "wall_s": {"wall_s": True},
    "isolation": {"isolation": "none"},
    "central": {"central": ""},
    "colour": {"colour": "red"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_setting_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(BadSettings, match=name):
        load("", {}, {"central": "https://a", **REFUSED[name]})


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("word\n")
    file.chmod(0o644)
    with pytest.raises(BadSettings, match="0600"):
        read_secret(str(file))
    file.chmod(0o600)

    assert read_secret(str(file)) == "word"
