"""What doctor says of the files of Rucio servers."""

from pathlib import Path

from pilotage.central.operate.doctor.rucio_checks import rucio
from pilotage.central.settings import CommunitySettings, Settings

FILE = """
url: https://rucio.example.org
account: pilotage
community: {}
credential: {{source: issuer, options: {{audience: rucio, scope: [openid]}}}}
storages: {{PIC-DISK: pic}}
inputs: [{{scope: raw}}]
"""


def said(data: Path, community: str = "ctao", storage: str = "", file: str = FILE) -> list[str]:
    for folder in ("rucio", "storages"):
        (data / folder).mkdir(exist_ok=True)
    (data / "rucio" / "one.yaml").write_text(file.format(community))
    if storage:
        (data / "storages" / "pic.yaml").write_text(storage)
    settings = Settings(community=CommunitySettings(name="ctao"))
    return [f"{one.level.value}: {one.said}" for one in rucio(data, settings)]


def test_without_files_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert list(rucio(tmp_path, Settings())) == []


def test_wrong_files_and_unknown_words_are_named(tmp_path: Path) -> None:
    (unread,) = said(tmp_path, file="url: 5")
    stranger, missing, _ = said(tmp_path, community="lst")

    assert unread.startswith("fault: ") and "one.yaml" in unread
    assert stranger.endswith("community: found 'lst', expected one of ctao")
    assert missing.endswith("storages.PIC-DISK: there is no storage 'pic'")


def test_a_storage_that_deletes_files_of_rucio_is_named(tmp_path: Path) -> None:
    disk = "type: file\nurl: file:///srv/pic\n"
    (good,) = said(tmp_path, storage=disk)
    risky, _ = said(tmp_path, storage=disk + "deletes: true\n")

    assert good == f"ok: 1 in {tmp_path / 'rucio'}"
    assert risky.startswith("warning: ") and "`data rm` would delete Rucio's files" in risky
