"""Files of Rucio servers: what is refused, and what a wrong file leaves alone."""

from pathlib import Path

import pytest

from pilotage.central.entry_files import BadEntryFile
from pilotage.central.rucio.files import RucioBook, read_folder_of_rucio, read_rucio

GOOD = """
url: https://rucio.example.org
account: pilotage
community: ctao
credential: {source: issuer, options: {audience: rucio, scope: [openid]}}
storages: {PIC-DISK: pic}
strip: /
"""
#  lines to add, and what the error names
WRONG = {
    "inputs: [{scope: raw, dataset: a, container: b}]": "inputs.0.container: dataset is given too",
    "inputs: [{scope: raw, dataset: a, filter: x=1}]": "inputs.0.filter: a filter is for a whole",
    "inputs: [{scope: raw, filter: x}]": "inputs.0.filter: found 'x', expected KEY",
    "inputs: [{scope: raw}, {scope: raw}]": "inputs.1: 'scope raw' stands there twice",
    "inputs: [{scope: .raw}]": "inputs.0.scope: scope: found '.raw'",
    "inputs: [{scope: raw, period: 5}]": "there is no field 'period'",
    "events: {broker: 'http://host:1', destination: d}": "stomp://HOST:PORT",
    "outputs: {scopes: [a b]}": "outputs.scopes",
    "outputs: {scopes: [a], rules: [{rse_expression: ''}]}": "outputs.rules",
    "outputs: {datasets: false, rules: [{rse_expression: A}]}": "outputs.rules: are for datasets",
    "account: Upper": "account",
    "url: http://rucio.example.org": "url",
}


@pytest.mark.parametrize("lines", WRONG)
def test_a_wrong_file_is_refused_with_its_field(lines: str, tmp_path: Path) -> None:
    key = lines.partition(":")[0]
    kept = [one for one in GOOD.splitlines() if not one.startswith(f"{key}:")]
    file = tmp_path / "one.yaml"
    file.write_text("\n".join([*kept, lines]))

    with pytest.raises(BadEntryFile) as why:
        read_rucio(file)

    assert WRONG[lines] in str(why.value)


def test_two_rses_cannot_be_one_storage(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(GOOD.replace("{PIC-DISK: pic}", "{A: pic, B: pic}"))

    with pytest.raises(BadEntryFile, match="storages: pic stands for two RSEs"):
        read_rucio(file)


def test_a_wrong_file_leaves_its_last_version_and_the_others_in_force(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(GOOD)
    (tmp_path / "two.yaml").write_text(GOOD)
    before = read_folder_of_rucio(tmp_path, RucioBook())
    (tmp_path / "one.yaml").write_text("url: 5")

    book = read_folder_of_rucio(tmp_path, before)

    assert book.entries == before.entries
    assert list(book.troubles) == ["one"]


def test_files_on_a_storage_are_kept_if_it_is_or_may_be_an_rse(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(GOOD)
    good = read_folder_of_rucio(tmp_path, RucioBook())
    (tmp_path / "one.yaml").write_text("url: 5")
    faulty_since = read_folder_of_rucio(tmp_path, good)
    always_faulty = read_folder_of_rucio(tmp_path, RucioBook())
    unlisted = RucioBook(unlisted="rucio/ cannot be listed")

    assert RucioBook().keeps("pic") == good.keeps("cscs") == faulty_since.keeps("cscs") == ""
    assert good.keeps("pic") == faulty_since.keeps("pic") == "Rucio one deletes its files on pic"
    assert always_faulty.keeps("cscs") == "rucio/one.yaml has an error: it may name cscs"
    assert unlisted.keeps("cscs") == "rucio/ cannot be listed"
