"""`pilotage storage check`: what it says of a folder of files."""

from pathlib import Path

import pytest

from pilotage.central.cli.main import run

GOOD = "type: file\nurl: file:///data\n"


def test_good_files_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    code = run(["storage", "check", str(tmp_path)])
    said = capsys.readouterr()

    assert (code, said.out, said.err) == (0, "a: file file:///data\n", "")


def test_each_bad_file_is_told_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(f"{GOOD}colour: red\n")
    (tmp_path / "c.yaml").write_text("type: http\nurl: http://me:secret@h/\n")
    code = run(["storage", "check", str(tmp_path)])
    said = capsys.readouterr()

    assert code == 1
    assert f"{tmp_path}/b.yaml:3: colour" in said.err
    assert f"{tmp_path}/c.yaml:2: url" in said.err and "password" in said.err
    assert "secret" not in said.err


KEYS = "type: s3\nurl: https://s3.test/ctao\ncredential: {{source: keys, options: {{file: {}}}}}\n"


@pytest.mark.parametrize(("mode", "code"), [(0o600, 0), (0o640, 1), (0o604, 1)])
def test_keys_that_others_may_read_are_told(
    mode: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("access secret\n")
    keys.chmod(mode)
    (tmp_path / "a.yaml").write_text(KEYS.format(keys))
    found = run(["storage", "check", str(tmp_path)])
    said = capsys.readouterr().err

    assert found == code
    told = f"{tmp_path}/a.yaml: credential.options.file: other users may read the keys in {keys}"
    assert (f"{told}: chmod 0600 it" in said) is bool(code)


def test_keys_on_another_host_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(KEYS.format(tmp_path / "none"))

    assert run(["storage", "check", str(tmp_path)]) == 0


def test_a_file_with_another_ending_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yml").write_text(GOOD)

    assert run(["storage", "check", str(tmp_path)]) == 1
    assert f"{tmp_path}/a.yml: is not read: its name does not end in" in capsys.readouterr().err


def test_without_a_folder_it_is_a_slip_of_the_pen(tmp_path: Path) -> None:
    assert run(["storage", "check", str(tmp_path / "no")]) == 2


def test_where_no_folder_is_said_it_is_that_of_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PILOTAGE_DATA", str(tmp_path))
    (tmp_path / "storages").mkdir()
    (tmp_path / "storages" / "a.yaml").write_text(GOOD)

    assert run(["storage", "check"]) == 0
    assert capsys.readouterr().out == "a: file file:///data\n"


def test_a_file_to_be_stored_needs_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run7.h5").touch()

    assert run(["data", "put", str(tmp_path / "run7.h5")]) == 2
    assert "expected FILE… SCOPE:NAME [KEY=VALUE…]" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["put", "no-file", "a:b"], ["get"]])
def test_files_that_cannot_be_meant_are_refused_before_anybody_is_asked(words: list[str]) -> None:
    assert run(["data", *words]) == 2
