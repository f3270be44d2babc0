"""What `doctor` says of files of identity providers, and of the files that they name."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pilotage.central.identity.providers.provider_files import ProviderEntry
from pilotage.central.operate.doctor.findings import Finding, Severity, fault, ok, warning
from pilotage.central.operate.doctor.identity_checks import identity
from pilotage.central.settings import CommunitySettings, Settings, TokenSettings

GOOD = """\
issuer: https://iam.example.org/
client: {{id: pilotage, secret_file: {folder}/iam.secret}}
bearer: {{audiences: ["https://central.example.org"]}}
groups: {{claims: [wlcg.groups]}}
map:
  - {{match: "/ctao/{{group}}", community: ctao, role: user, groups: ["{{group}}"]}}
"""
SETTINGS = Settings(community=CommunitySettings(name="ctao"))


def silent(_: Mapping[str, ProviderEntry]) -> dict[str, list[Finding]]:
    """Ask no provider."""
    return {}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data directory with one good provider."""
    (tmp_path / "identity").mkdir(mode=0o700)
    secret = tmp_path / "iam.secret"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    written(tmp_path, GOOD.format(folder=tmp_path))
    return tmp_path


def written(data: Path, text: str, name: str = "iam.yaml") -> Path:
    file = data / "identity" / name
    file.write_text(text)
    file.chmod(0o600)
    return file


def changed(data: Path, old: str, new: str) -> Path:
    text = (data / "identity" / "iam.yaml").read_text()
    assert text.count(old) == 1
    return written(data, text.replace(old, new))


def said(data: Path) -> list[tuple[Severity, str]]:
    return [(one.level, one.said) for one in identity(data, SETTINGS, silent)]


def only(data: Path) -> Finding:
    (found,) = identity(data, SETTINGS, silent)
    return found


def test_a_central_without_providers_hears_nothing(tmp_path: Path) -> None:
    assert said(tmp_path) == []
    (tmp_path / "identity").mkdir()
    assert said(tmp_path) == []


def test_a_folder_that_the_settings_name_must_be_there(tmp_path: Path) -> None:
    settings = Settings(token=TokenSettings(providers=str(tmp_path / "none")))
    (found,) = identity(tmp_path, settings, silent)

    assert found.level is Severity.FAULT
    assert "token.providers names it, but it is not a folder" in found.said


def test_the_folder_of_the_settings_is_read(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (data / "identity").rename(other)
    (found,) = identity(
        data,
        Settings(
            token=TokenSettings(providers=str(other)), community=CommunitySettings(name="ctao")
        ),
        silent,
    )

    assert found.level is Severity.OK


def test_a_good_provider_is_told_with_its_ways(data: Path) -> None:
    found = only(data)

    assert found.level is Severity.OK
    assert found.said == (
        "iam: https://iam.example.org/ answers, people log in, its tokens for "
        "https://central.example.org are taken"
    )


def test_bad_files_are_named_with_line_field_and_right_form(data: Path) -> None:
    file = changed(data, "role: user", "role: boss")
    other = written(data, GOOD.format(folder=data).replace("https:", "http:", 1), "b.yaml")
    found = said(data)

    assert [level for level, _ in found] == [Severity.FAULT, Severity.FAULT]
    texts = " ".join(text for _, text in found)
    assert f"{file}:6: map[0].role: unknown word" in texts
    assert "one of reader user manager operator admin" in texts
    assert f"{other}:1: issuer: 'http://iam.example.org/' is not encrypted: expected https" in texts


def test_a_secret_that_others_may_read_is_a_fault(data: Path) -> None:
    (data / "iam.secret").chmod(0o640)
    found = only(data)

    assert found.level is Severity.FAULT
    said = f"iam.yaml:2: client.secret_file: {data}/iam.secret: other users may read it"
    assert said in found.said and "chmod 0600 it" in found.said and "new secret" in found.do


@pytest.mark.parametrize(
    "content", ["", "\n", "a" * 5_000, "one\ntwo"], ids=["empty", "blank", "long", "two lines"]
)
def test_a_secret_has_one_line(data: Path, content: str) -> None:
    (data / "iam.secret").write_text(content)
    found = only(data)

    assert found.level is Severity.FAULT and "expected one line with the secret" in found.said


def test_a_missing_secret_is_a_fault(data: Path) -> None:
    (data / "iam.secret").unlink()
    found = only(data)

    assert found.level is Severity.FAULT and "No such file" in found.said


def test_the_authority_must_be_a_certificate(data: Path) -> None:
    pem = data / "ca.pem"
    file = changed(data, "map:", f"ca_file: {pem}\nmap:")
    missing = only(data)
    pem.write_text("no certificate")
    wrong = only(data)

    assert f"{file}:5: ca_file: {pem}: " in missing.said
    assert {missing.level, wrong.level} == {Severity.FAULT}
    assert "PEM file with the certificate" in wrong.do


def test_a_community_that_is_not_served_is_told(data: Path) -> None:
    changed(data, "community: ctao", "community: cta")
    found = only(data)

    assert found.level is Severity.WARNING
    assert (
        "iam.yaml:6: map[0].community: unknown community 'cta': did you mean 'ctao'?" in found.said
    )


def test_files_that_every_user_may_write_are_a_fault(data: Path) -> None:
    (data / "identity").chmod(0o777)
    (data / "identity" / "iam.yaml").chmod(0o666)
    found = said(data)

    assert [level for level, _ in found] == [Severity.FAULT, Severity.FAULT, Severity.OK]
    assert all("every user may write it" in text for _, text in found[:2])


def test_a_file_with_another_end_is_told_as_ignored(data: Path) -> None:
    written(data, "", "egi.yml")

    assert said(data)[0][0] is Severity.FAULT
    assert "egi.yml: is not read: its name does not end in .yaml" in said(data)[0][1]


def test_the_wrong_answers_of_a_provider_are_named(data: Path) -> None:
    told = [ok("metadata", "fine"), fault("secret", "refused", "x"), warning("logins", "no", "y")]
    found = [*identity(data, SETTINGS, lambda entries: dict.fromkeys(entries, told))]

    assert [(one.check, one.level, one.said, one.do) for one in found] == [
        ("identity", Severity.FAULT, "iam: secret: refused", "x"),
        ("identity", Severity.WARNING, "iam: logins: no", "y"),
    ]


def test_a_provider_whose_secret_cannot_be_read_is_not_asked(data: Path) -> None:
    (data / "iam.secret").unlink()
    asked = list[str]()

    def ask(entries: Mapping[str, ProviderEntry]) -> dict[str, list[Finding]]:
        asked.extend(entries)
        return {}

    (found,) = identity(data, SETTINGS, ask)

    assert "iam.secret" in found.said and asked == []
