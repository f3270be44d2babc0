"""Kinds of words that options of several elements take.

What an operator writes becomes an argument, a line of a description, or a part of a path that
another program reads by rules of its own: `%h` and `~` to OpenSSH, `$(x)` to HTCondor, `%j` to
Slurm. A word is therefore of plain letters, or it is refused where it is read.
"""

from typing import Annotated

from msgspec import Meta

from pilotage.proto.decoding.patterns import whole

LETTERS = "[A-Za-z0-9._/@+=,:-]"
Path = Annotated[str, Meta(pattern=whole(f"/{LETTERS}*"), max_length=512)]
PathOrNone = Annotated[str, Meta(pattern=whole(f"(/{LETTERS}*)?"), max_length=512)]  # empty: none
HostOrNone = Annotated[str, Meta(pattern=whole("([A-Za-z0-9][A-Za-z0-9.:@_-]*)?"), max_length=255)]
HttpsUrl = Annotated[  # what follows it is one path: no query, no user, no way back
    str,
    Meta(
        pattern=whole(r"https://(?!.*\.\.)[A-Za-z0-9.:-]+(/[A-Za-z0-9._/-]*)?"),
        max_length=512,
        description="a URL as https://host:port/path, with plain letters and no .. in it",
    ),
]
