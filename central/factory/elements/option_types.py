"""Types of option values that several elements use.

Each value becomes an argument, a line of a description or a part of a path. Other programs give
some characters a meaning: OpenSSH `%h` and `~`, HTCondor `$(x)`, Slurm `%j`. So values may have
plain letters only, and others are refused when the file is read.
"""

from typing import Annotated

from msgspec import Meta

from pilotage.proto.decoding.patterns import whole

LETTERS = "[A-Za-z0-9._/@+=,:-]"
Path = Annotated[str, Meta(pattern=whole(f"/{LETTERS}*"), max_length=512)]
PathOrNone = Annotated[str, Meta(pattern=whole(f"(/{LETTERS}*)?"), max_length=512)]  # empty: none
HostOrNone = Annotated[str, Meta(pattern=whole("([A-Za-z0-9][A-Za-z0-9.:@_-]*)?"), max_length=255)]
HttpsUrl = Annotated[  # a path follows: no query, no user, no ..
    str,
    Meta(
        pattern=whole(r"https://(?!.*\.\.)[A-Za-z0-9.:-]+(/[A-Za-z0-9._/-]*)?"),
        max_length=512,
        description="a URL such as https://host:port/path, with plain letters and without ..",
    ),
]
