"""Settings: three sources, one tree, and errors that name what is wrong."""

import os
from pathlib import Path

import pytest

from pilotage.central.operate.serve import ServeOptions, settings_of
from pilotage.central.settings import FILE_MAX_BYTES, BadSetting, Settings, load
from pilotage.matcher.rules import RunningLimit, StartLimit


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
    "matcher.compatible": ("{el9: [el9]}", "compatible.el9: list each other platform once"),
    "matcher.running": ("[{where: PIC, by: type, value: User, most: -1}]", r"running\[0\].most"),
    "matcher.half_life_s": ("0", "matcher.half_life_s"),
    "community.others": ("[lst, local]", "others: 'local' is listed twice, or equals `name`"),
    "sandbox.blob_bytes_max": ("2TiB", "sandbox.blob_bytes_max: expected a whole number"),
}


@pytest.mark.parametrize("text", ["[]", "false", "0", "''", "[lease]", "lease"])
def test_a_file_that_holds_no_sections_is_not_taken_for_an_empty_one(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "pilotage.yaml"
    file.write_text(text)
    with pytest.raises(BadSetting, match=f"{file}: must consist of sections, each with its keys"):
        load(file, {})


def test_a_file_that_is_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pilotage.yaml")

    for place in (
        ServeOptions(tmp_path),
        ServeOptions(tmp_path / "data", config=tmp_path / "pilotage.yaml"),
    ):
        with pytest.raises(BadSetting, match="cannot be read: it is not a regular file"):
            settings_of(place)


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pilotage.yaml"
    with file.open("wb") as huge:
        huge.truncate(FILE_MAX_BYTES + 1)

    with pytest.raises(BadSetting, match=f"has more than {FILE_MAX_BYTES} bytes"):
        load(file, {})


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "---\n"])
def test_an_empty_file_leaves_all_as_it_is_by_default(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pilotage.yaml"
    file.write_text(text)

    assert load(file, {}) == Settings()


def test_order_and_limits_are_what_the_matcher_is_told(tmp_path: Path) -> None:
    file = tmp_path / "pilotage.yaml"
    file.write_text(
        """
matcher:
  shares: {ctao/sim: 2, ctao/sim/ada: 3.5, "ctao/sim/eve@https://issuer.example/x": 2}
  half_life_s: 86400
  running: [{where: PIC, by: type, value: User, most: 100}]
  starts: [{where: PIC/ce1, by: tag, value: cvmfs, per_s: 0.5, burst: 10}]
  banned: [CSCS, PIC/ce2]
"""
    )

    rules = load(file, {}).matcher.rules(keep_s=2.0)

    assert rules.shares == {
        "ctao/sim": 2.0,
        "ctao/sim/ada": 3.5,
        "ctao/sim/eve@https://issuer.example/x": 2.0,
    }
    assert rules.half_life_s == 86_400.0
    assert rules.running == (RunningLimit(where="PIC", by="type", value="User", most=100),)
    assert rules.starts == (
        StartLimit(where="PIC/ce1", by="tag", value="cvmfs", per_s=0.5, burst=10),
    )
    assert rules.banned == {"CSCS", "PIC/ce2"}


def test_the_table_of_platforms_is_read_as_written(tmp_path: Path) -> None:
    file = tmp_path / "pilotage.yaml"
    file.write_text("matcher:\n  compatible:\n    el9: [el8, el7]\n    rocky: [el]\n")

    assert load(file, {}).matcher.compatible == {"el9": ("el8", "el7"), "rocky": ("el",)}


RULES: list[tuple[str, str, str]] = [
    ("shares", "{ctao//ada: 2}", "shares.ctao//ada: expected COMMUNITY/GROUP or"),
    ("shares", "{users: 2}", "shares.users: expected COMMUNITY/GROUP or"),
    ("shares", "{local/users/ada/x: 2}", "shares.local/users/ada/x: expected"),
    ("shares", "{a/b: 1, local/users: -2}", "shares.local/users: expected a number from 0.001"),
    ("shares", "{local/users: 1e-308}", "shares.local/users: expected a number from 0.001"),
    ("shares", "{a/b: 1, a.b/c: many}", r'shares\["a.b/c"\]: expected a number from .*, got text'),
    ("shares", "{a/b: 1, a/b: 2}", "the key 'a/b' occurs twice"),
    ("banned", "['']", r"matcher.banned\[0\]"),
    ("banned", "[LAPP/]", r"banned\[0\]: .*the form SITE or SITE/ELEMENT.*found .LAPP/"),
    ("banned", "[/PIC]", "the form SITE or SITE/ELEMENT"),
    ("banned", "[PIC/a/b]", "the form SITE or SITE/ELEMENT"),
    ("banned", "[P IC]", "the form SITE or SITE/ELEMENT"),
    ("starts", "[{where: PIC, by: typ, value: a, per_s: 1}]", "'typ', one of group owner tag type"),
    (
        "starts",
        "[{where: PIC, by: tag, value: a&b, per_s: 1}]",
        "'a&b' is no tag: expected letters",
    ),
    ("running", "[{where: PIC, by: type, value: '', most: 1}]", r"running\[0\]: value: '' is no"),
    ("running", "[{where: PIC, by: type, value: 5, most: 1}]", 'write it in quotes, "5"'),
    (
        "running",
        "[{where: P, by: owner, value: a b, most: 1}, {where: P, by: owner, value: a b, most: 2}]",
        "running: the owner 'a b' has two limits at P",
    ),
    ("compatible", "{e l9: [el8]}", "matcher.compatible: expected text of letters"),
]


@pytest.mark.parametrize(("key", "value", "said"), RULES)
def test_a_wrong_rule_of_the_matcher_is_named(key: str, value: str, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        load(None, {}, {f"matcher.{key}": value})


@pytest.mark.parametrize("key", ["webhook_allowed", "webhook_refused"])
@pytest.mark.parametrize("network", ["10.0.0.1/8", "10.0.0.0/33", "pic.es", "''"])
def test_a_network_that_is_none_is_named(key: str, network: str) -> None:
    with pytest.raises(BadSetting, match=rf"^--set notify\.{key}: "):
        load(None, {}, {f"notify.{key}": f"[{network}]"})


@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_setting_is_named(option: str) -> None:
    value, expected = WRONG[option]

    with pytest.raises(BadSetting, match=expected):
        load(None, {}, {option: value})


def test_sizes_and_times_have_units(tmp_path: Path) -> None:
    file = tmp_path / "pilotage.yaml"
    file.write_text(
        "lease: {lease_s: 2m}\nquota: {owner_gb: 2TB}\nretention: {communities: {ctao: {done_days:"
        " 52w}}}\n"
    )

    settings = load(file, {"PILOTAGE_TOKEN__PILOT_S": "2h"}, {"sandbox.blob_bytes_max": "2GiB"})

    assert (settings.lease.lease_s, settings.token.pilot_s) == (120, 7_200)
    assert (settings.quota.owner_gb, settings.sandbox.blob_bytes_max) == (2_000, 2**31)
    assert settings.retention.communities["ctao"].done_days == 364
    right = "expected a time such as 2h or 1d12h; 2h is 7200 seconds"
    file.write_text("http: {port: 0}\nlease: {lease_s: 2 hours}\n")
    wrong = f"pilotage.yaml:2: lease.lease_s: found '2 hours', {right}"
    with pytest.raises(BadSetting, match=wrong):
        load(file, {})
    with pytest.raises(BadSetting, match="--set lease.lease_s: found '1h1h', expected a time"):
        load(None, {}, {"lease.lease_s": "1h1h"})


def test_a_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pilotage.yaml"
    file.write_text("bus:\n  brokr: none\n")

    with pytest.raises(BadSetting, match="brokr.*did you mean 'broker'"):
        load(file, {})


def test_a_key_that_comes_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "pilotage.yaml"
    file.write_text("http:\n  port: 1\nbus:\n  broker: none\nhttp:\n  host: localhost\n")

    with pytest.raises(BadSetting, match="pilotage.yaml:5: the key 'http' occurs twice"):
        load(file, {})


def test_a_wrong_value_is_named_by_its_line_or_by_what_set_it(tmp_path: Path) -> None:
    file = tmp_path / "pilotage.yaml"
    file.write_text("http:\n  port: 70000\nmatcher:\n  banned: [PIC]\n  shares: {users: 2}\n")
    right = {"http.port": "0", "matcher.shares": "{}"}

    with pytest.raises(BadSetting, match=r"yaml:2: http.port: expected .* found 70000"):
        load(file, {}, {"matcher.shares": "{}"})
    with pytest.raises(BadSetting, match=r"yaml:5: matcher: shares.users: expected"):
        load(file, {}, {"http.port": "0"})
    with pytest.raises(BadSetting, match=r"^PILOTAGE_MATCHER__BANNED: matcher.banned\[0\]: exp"):
        load(file, {"PILOTAGE_MATCHER__BANNED": "[P IC]"}, right)
    with pytest.raises(BadSetting, match="^--set log.level: expected text: debug or info"):
        load(file, {}, {**right, "log.level": "loud"})


def test_communities_are_named_as_tokens_name_them() -> None:
    given = {"community.name": "vo.cta.in2p3.fr", "community.others": "[LST]"}

    assert load(None, {}, given).community.names == ("vo.cta.in2p3.fr", "LST")
    assert load(None, {}).community.names == ("local",)


def test_variables_of_pilots_are_none_of_the_central() -> None:
    assert load(None, {"PILOTAGE_PILOT__GPUS": "2"}).http.port == 8470
