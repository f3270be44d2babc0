"""`pilotage identity check --ask`, and `doctor`, at a real provider."""

from pathlib import Path

import pytest

from pilotage.central.cli.main import run

from .logging_in import provider_file
from .providers import running_provider


def test_a_provider_is_asked_and_a_wrong_secret_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_provider(tmp_path / "provider") as provider:
        file = tmp_path / "iam.yaml"
        file.write_bytes(provider_file(provider))
        right = run(["identity", "check", str(file), "--ask"])
        lines = capsys.readouterr().out.splitlines()
        provider.ca_file.with_name("web.secret").write_text("another")
        wrong = run(["identity", "check", str(file), "--ask"])
        said = capsys.readouterr().out

    assert right == 0
    assert [one.split()[0] for one in lines] == ["ok"] * len(lines) and len(lines) == 6
    assert "the provider accepts the client and its secret" in lines[-1]
    assert wrong == 1
    assert "fault    secret" in said and "invalid_client" in said


def test_doctor_asks_each_provider(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_provider(tmp_path / "provider") as provider:
        file = tmp_path / "data/identity/iam.yaml"
        file.parent.mkdir(parents=True, mode=0o700)
        file.write_bytes(provider_file(provider))
        file.with_name("away.yaml").write_bytes(
            provider_file(provider, issuer="https://127.0.0.1:1")
        )
        (tmp_path / "data/signing-keys.json").write_text("{}")
        run(["doctor", "--data", str(tmp_path / "data"), "--set", "community.name=ctao"])
        before = capsys.readouterr().out
        provider.ca_file.with_name("web.secret").write_text("another")
        run(["doctor", "--data", str(tmp_path / "data"), "--set", "community.name=ctao"])
        after = capsys.readouterr().out

    assert f"ok       identity     iam: {provider.issuer} answers, people log in" in before
    assert "fault    identity     away: metadata: https://127.0.0.1:1/.well-known" in before
    assert "fault    identity     iam: secret: " in after and "invalid_client" in after
