"""Settings: three sources, one tree, and errors that name what is wrong."""

from pathlib import Path

import pytest

from pilotage.central.settings import BadSetting, load


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "pilotage.yaml"
    file.write_text("lease:\n  lease_s: 60\nhttp:\n  port: 1000\n")
    environment = {"PILOTAGE_HTTP__PORT": "2000", "PILOTAGE_DATA": "/nowhere", "HOME": "/"}
    settings = load(file, environment, {"http.port": "3000"})

    assert settings.lease.lease_s == 60
    assert settings.http.port == 3000


WRONG = {
    "leese.lease_s": ("1", "did you mean 'lease'"),
    "lease.leasee_s": ("1", "did you mean 'lease_s'"),
    "lease.lease_s": ("soon", "lease.lease_s"),
    "http.port": ("70000", "http.port"),
}


@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_setting_is_named(option: str) -> None:
    value, expected = WRONG[option]

    with pytest.raises(BadSetting, match=expected):
        load(None, {}, {option: value})


def test_a_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pilotage.yaml"
    file.write_text("bus:\n  brokr: none\n")

    with pytest.raises(BadSetting, match="brokr.*did you mean 'broker'"):
        load(file, {})
