"""What a central says about descriptions in JDL: docs/jdl.md."""

from typing import Annotated

import msgspec
from msgspec import Meta

from ..documents.job import VersionText
from .bodies import ReplyStruct


class JdlPlatform(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The needs that a name of `Platform` stands for."""

    os: str = ""
    architecture: str = ""
    glibc_min: VersionText = ""


class JdlRules(ReplyStruct, frozen=True):
    """Values with which a description in JDL becomes a job."""

    #: names of `Platform` besides `el9`, `x86_64-el9` and `Linux_x86_64_glibc-2.17`, which need no
    #: entry; `{}` is any platform
    platforms: dict[str, JdlPlatform] = msgspec.field(
        default_factory=lambda: {
            "centos7": JdlPlatform(os="el7"),
            "slc6": JdlPlatform(os="el6"),
            "x86_64-centos7": JdlPlatform(os="el7", architecture="x86_64"),
            "x86_64-slc6": JdlPlatform(os="el6", architecture="x86_64"),
        }
    )
    #: scope of LFNs: `/a/b` is the file SCOPE:a/b; empty: the group of the job
    scope: Annotated[str, Meta(max_length=64)] = ""
    #: `CPUTime` × cores × this is the CPU work of a job; 0: ask for no CPU work
    hs23_per_hs06: Annotated[float, Meta(ge=0, le=100)] = 1.0
    #: speed of the slowest core: the run time is limited to `CPUTime` / this
    hs06_per_core_min: Annotated[float, Meta(gt=0, le=1_000)] = 5.0
    wall_min_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 3_600  # least limit of the run time


class JdlContext(JdlRules, frozen=True):
    """The rules, and what they leave to the caller."""

    group: str = ""  # default group of the caller
    user: str = ""  # folder of the caller's outputs
