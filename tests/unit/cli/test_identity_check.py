"""`pilotage identity check`: what a person would get, and the row of the file that gives it."""

import json
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.cli.main import run
from tests.unit.identity.profiles import FORMS, told

FILE = """\
issuer: https://iam.example.org/
bearer: {{audiences: ["https://central.example.org"]}}
groups: {{claims: [{claim}]}}
map:
  - {{match: "{admins}", community: ctao, role: admin}}
  - {{match: "{pattern}", community: ctao, role: user, groups: ["{{group}}"]}}
  - {{match: "/lhcb", community: lhcb, role: reader}}
"""


class Files:
    """A provider's file and a file of claims."""

    def __init__(self, folder: Path, profile: str = "wlcg") -> None:
        claim, admins, pattern = FORMS[profile]
        self.provider, self.claims = folder / "iam.yaml", folder / "claims.json"
        self.provider.write_text(FILE.format(claim=claim, admins=admins, pattern=pattern))

    def check(self, claims: dict[str, Any], *options: str) -> int:
        self.claims.write_text(json.dumps(claims))
        return run(
            ["identity", "check", str(self.provider), "--claims", str(self.claims), *options]
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize("profile", FORMS)
def test_the_rights_and_their_row_are_shown_for_each_kind_of_provider(
    profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = Files(tmp_path, profile).check(told(profile, ["/ctao/prod"]))
    said = capsys.readouterr()

    assert (code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "community ctao, role user, groups prod"
    assert lines[1].startswith(f"  by {tmp_path}/iam.yaml:6: map[1], which matches '")
    assert lines[2].startswith("groups seen: ")


def test_what_else_a_login_can_ask_for_is_shown(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = told("wlcg", ["/ctao/admins"])
    code = files.check(claims)
    user = capsys.readouterr().out
    files.check(claims, "--role", "admin", "--community", "ctao")
    admin = capsys.readouterr().out

    assert code == 0
    assert "with --community and --role, a login can also get:\ncommunity ctao, role admin" in user
    assert f"  by {files.provider}:5: map[0], which matches '/ctao/admins'" in user
    assert admin.startswith("community ctao, role admin, groups none\n")


@pytest.mark.parametrize(
    ("groups", "options", "said"),
    [
        (["/other/x"], [], "none of your groups gives access here; the groups seen are '/other/x'"),
        ([], [], "the groups seen are none"),
        (["/ctao/prod"], ["--role", "admin"], "do not give the role admin; they give user"),
        (["/ctao/prod"], ["--community", "lhcb"], "not in the community 'lhcb'"),
        (["/ctao/prod", "/lhcb"], [], "your groups give ctao, lhcb: name one community"),
    ],
)
def test_a_person_who_would_not_get_in_is_code_1_with_the_groups_seen(
    files: Files,
    capsys: pytest.CaptureFixture[str],
    groups: list[str],
    options: list[str],
    said: str,
) -> None:
    code = files.check(told("wlcg", groups), *options)
    out = capsys.readouterr().out

    assert code == 1
    assert out.startswith("refused: ") and said in out
    assert "groups seen: " in out


def test_programs_get_the_same_as_json(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    code = files.check(told("wlcg", ["/ctao/prod", "/ctao/a b"]), "--json")
    found = json.loads(capsys.readouterr().out)
    refused = files.check({"sub": "ada"}, "--json")
    nobody = json.loads(capsys.readouterr().out)

    assert (code, refused) == (0, 1)
    place = f"{files.provider}:6: map[1]"
    rows = [{"place": place, "value": "/ctao/prod"}]
    rights = {"community": "ctao", "role": "user", "groups": ["prod"], "rows": rows}
    assert found["rights"] == rights
    assert found["seen"] == ["/ctao/prod", "/ctao/a b"]
    assert found["skipped"] == ["'a b', from '/ctao/a b'"]
    assert (nobody["rights"], nobody["seen"]) == (None, [])
    assert nobody["refused"].startswith("none of your groups gives access here")


def test_groups_that_do_not_count_are_remarked(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = [f"/ctao/g{number}" for number in range(70)]
    files.check(told("wlcg", groups) | {"scope": "openid storage.read:/"})
    said = capsys.readouterr().err

    assert "6 groups of the role user are left out: a token can have at most 64" in said
    assert "the scopes 'storage.read:/' authorise by themselves: groups in a bearer token" in said


@pytest.mark.parametrize("content", ["", "[]", "{", '{"sub": NaN}', '"ada"', "\xff"])
def test_claims_that_are_no_object_are_a_slip_of_the_pen(
    files: Files, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    files.claims.write_text(content, encoding="latin-1")
    words = ["identity", "check", str(files.provider), "--claims", str(files.claims)]

    assert run(words) == 2
    assert "expected a JSON object, as in" in capsys.readouterr().err


def test_a_bad_file_is_a_slip_of_the_pen_with_its_line(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.provider.write_text(files.provider.read_text().replace("role: admin", "role: boss"))

    assert files.check({}) == 2
    assert f"{files.provider}:5: map[0].role: unknown word" in capsys.readouterr().err
    assert run(["identity", "check", str(files.provider), "--claims", "/none"]) == 2
    assert run(["identity", "check", "/none.yaml", "--claims", str(files.claims)]) == 2


def test_a_missing_secret_is_remarked_and_the_rights_are_still_shown(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = files.provider.with_name("iam.secret")
    client = f"client: {{id: pilotage, secret_file: {secret}}}\n"
    files.provider.write_text(files.provider.read_text() + client)
    code = files.check(told("wlcg", ["/ctao/prod"]))
    missing = capsys.readouterr()
    secret.write_text("s\n")
    secret.chmod(0o600)
    files.check(told("wlcg", ["/ctao/prod"]))

    assert (code, missing.out.splitlines()[0]) == (0, "community ctao, role user, groups prod")
    assert f"client.secret_file: {secret}: No such file" in missing.err
    assert capsys.readouterr().err == ""
