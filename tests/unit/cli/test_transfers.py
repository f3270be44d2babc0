"""What is wrong with this machine's files is said in a line."""

from pathlib import Path

import pytest

from pilotage.central.cli.data import catalogue, transfers
from pilotage.central.cli.exit_codes import UsageError

from .stub_client import give


def test_a_folder_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "out").touch()

    class Client:
        async def get_file(self, *_: object, **__: object) -> Path:
            (tmp_path / "out").mkdir()
            return tmp_path

    give(Client(), monkeypatch)
    with pytest.raises(UsageError, match=r"out: File exists$"):
        transfers.get("ctao:run", to=str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("a users:a", (["a"], "users:a", [])),
        ("a b users:x/ run=7 k=a:b", (["a", "b"], "users:x/", ["run=7", "k=a:b"])),
        ("run=7.txt users:run=7.txt", (["run=7.txt"], "users:run=7.txt", [])),
        ("a:b users:", (["a:b"], "users:", [])),
    ],
)
def test_a_command_line_is_sources_a_target_and_metadata(
    words: str, parts: tuple[list[str], str, list[str]]
) -> None:
    assert transfers._parts(words.split()) == parts


@pytest.mark.parametrize("words", ["", "a", "users:a", "a b", "run=7", "a run=7"])
def test_a_command_line_without_a_target_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="expected FILE… SCOPE:NAME"):
        transfers._parts(words.split())


@pytest.mark.parametrize(
    ("word", "is_name"),
    [
        ("users:run=7", True),
        ("users:gamma/*", True),
        ("dataset=users:a", False),
        ("run>=7", False),
        ("!good", False),
        ("good", False),
    ],
)
def test_names_and_conditions_are_told_apart(word: str, is_name: bool) -> None:
    assert transfers._is_name(word) is is_name


@pytest.mark.parametrize(("words", "did"), [((), ""), (("run=7",), "users:a")])
def test_a_rule_is_about_a_file_or_about_conditions(
    words: tuple[str, ...], did: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(object(), monkeypatch)
    with pytest.raises(UsageError, match="either conditions such as run=7, or --did SCOPE:NAME"):
        catalogue.add_rule(*words, storage=("pic",), did=did)
