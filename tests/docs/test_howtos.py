"""The how-tos for submitters are true, with real processes, and short.

Each one is read by Ada, who uses a central, a storage and pilots that an operator has started.
"""

from pathlib import Path
from typing import Final

import pytest

from ..services.ports import free_ports
from ..tidy import tree
from .walkthrough import Walk, blocks

PAGES: Final = sorted(name for name in tree.files() if name.startswith("docs/howto/"))
SNAKEMAKE_PAGE: Final = "docs/howto/snakemake.md"
WORDS: Final = range(150, 400)
GOAL_CHARACTERS: Final = 300  # between the title and the first command

OPERATOR_STARTS: Final = """
```console
$ mkdir -p -m 700 ~/.local/share/pilotage && mkdir -p ~/disk ~/.local/share/pilotage/storages
$ echo "{type: file, url: 'file://$HOME/disk', default: true}" > disk.yaml
$ mv disk.yaml ~/.local/share/pilotage/storages/
$ pilotage serve &
…
{"at":"…","event":"central_started",…}
$ pilotage pilot start --site PIC --cores 2 --memory 4GB --image-tools none
pic-…: process …, log …/pilot.log
```
"""
WITH_GPUS: Final = """
```console
$ pilotage pilot start --site CSCS --overcommit --gpus 2 --gpu-vendor nvidia --gpu-memory 80GB
cscs-…: process …, log …/pilot.log
```
"""
SNAKEMAKE: Final = tree.ROOT / ".venv-snakemake"
WITH_SNAKEMAKE: Final = f"""
```console
$ export PATH=$PATH:{SNAKEMAKE}/bin
```
"""
TOKEN: Final = """
```console
$ pilotage token issue ada --role user --save ada.json
…
```
"""
ADA_HAS_IT: Final = """
```console
$ mkdir -p ~/.config/pilotage && mv ada.json ~/.config/pilotage/credentials.json
```
"""
OPERATOR_ENDS: Final = """
```console
$ rm ~/.config/pilotage/credentials.json
$ pilotage pilot drain --all --wait
…
$ kill %1
```
"""


MAIL_SERVER: Final = """
```console
$ export PILOTAGE_FAILOVER__MAIL='{host: 127.0.0.1, port: PORT}'
$ export PILOTAGE_NOTIFY__EVERY_S=0.2 PILOTAGE_NOTIFY__RETRY_S=0.2
$ export PILOTAGE_NOTIFY__MAIL_DOMAINS='[example.org]'
```
"""
MAIL_SERVER_RUNS: Final = """
```console
$ python -m aiosmtpd -n -l 127.0.0.1:PORT &
```
"""
MAIL_SERVER_ENDS: Final = """
```console
$ kill %2
```
"""
MAILED: Final = "docs/howto/notifications.md"


def _stage(page: str) -> str:
    if page == MAILED:
        port = str(free_ports(1)[0])
        mail = (MAIL_SERVER, OPERATOR_STARTS, MAIL_SERVER_RUNS, TOKEN, ADA_HAS_IT)
        return "".join(mail).replace("PORT", port)
    gpus = WITH_GPUS if page.endswith("/gpus.md") else ""
    place = "" if page.endswith("/use-a-central.md") else ADA_HAS_IT
    starts = OPERATOR_STARTS
    if page == SNAKEMAKE_PAGE:
        # The folder of the case is in /tmp or /dev/shm, which only this rung shows to jobs.
        starts = WITH_SNAKEMAKE + starts.replace("--site PIC", "--site PIC --isolation session")
    return starts + gpus + TOKEN + place


@pytest.mark.parametrize("page", PAGES)
def test_a_how_to_happens_as_it_is_told(page: str, tmp_path: Path) -> None:
    if page == SNAKEMAKE_PAGE and not (SNAKEMAKE / "ready").exists():
        pytest.skip("no Snakemake here: deploy/make-snakemake-venv makes .venv-snakemake")
    walk = Walk(tree.ROOT / page, tmp_path)
    try:
        walk.go(
            before=_stage(page), after=OPERATOR_ENDS + (MAIL_SERVER_ENDS if page == MAILED else "")
        )
    finally:
        left = walk.close()

    assert not left, "the page leaves these running"


@pytest.mark.parametrize("page", PAGES)
def test_a_how_to_is_short_and_begins_with_its_goal_and_a_command(page: str) -> None:
    text = tree.text(page)
    first = next(blocks(text))

    assert len(text.split()) in WORDS
    assert first.kind in {"sh", "console"}
    assert text.index("```") < GOAL_CHARACTERS
