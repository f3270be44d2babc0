"""Digests of images: of files that are here, of trees that are named by one, of nothing else."""

import hashlib
import os
from pathlib import Path

from pilotage.central.client.images import digests_of


def test_what_can_be_seen_of_images_is_known_and_the_rest_is_left_out(tmp_path: Path) -> None:
    sif, tree = tmp_path / "tools.sif", tmp_path / ".flat" / ("ab" * 32)
    sif.write_bytes(b"an image")
    tree.mkdir(parents=True)
    named, plain = tmp_path / "tools:1.2", tmp_path / "plain"
    named.symlink_to(tree)
    plain.mkdir()
    os.mkfifo(tmp_path / "pipe.sif")
    round_ = tmp_path / "round"
    round_.symlink_to(round_)
    seen = [sif, named, plain, tmp_path / "pipe.sif", tmp_path / "none.sif", round_]

    assert digests_of([*map(str, seen), "{image}", "a\0b", str(sif)]) == {
        str(sif): f"sha256:{hashlib.sha256(b'an image').hexdigest()}",
        str(named): "sha256:" + "ab" * 32,
    }
