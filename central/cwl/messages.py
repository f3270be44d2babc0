"""What a central and its evaluator say to each other: a JSON object a line, and one answers one."""

from typing import Any, TypeAlias

import msgspec

from pilotage.proto.documents.cwl import CwlDocument


class _Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message has its kind in the field `is`."""


# -- calls -------------------------------------------------------------------------------------


class Shape(_Message, frozen=True, kw_only=True, tag_field="is", tag="shape"):
    """Asks for the tools of a document. The answer is Shaped."""

    document: CwlDocument


class Begin(_Message, frozen=True, kw_only=True, tag_field="is", tag="begin"):
    """Begins a run, perhaps again. The answer is Noted."""

    run: str
    document: CwlDocument
    at: float  # when the production was made, for the random numbers of expressions
    images: dict[str, str] = {}  # folders of unpacked images on nodes


class Advance(_Message, frozen=True, kw_only=True, tag_field="is", tag="advance"):
    """Gives results. The answer is Advanced, Ended, Needs or Unknown.

    If more results follow it is Noted or Unknown.
    """

    run: str
    results: dict[str, Any] = {}  # by the key of the job; a text says why there is none
    contents: dict[str, bytes] = {}  # of files that expressions read, by path
    more: bool = False


class End(_Message, frozen=True, kw_only=True, tag_field="is", tag="end"):
    """Forgets a run. The answer is Noted."""

    run: str


Call: TypeAlias = Shape | Begin | Advance | End


# -- answers -----------------------------------------------------------------------------------


class Noted(_Message, frozen=True, kw_only=True, tag_field="is", tag="noted"):
    """The call is done."""


class ShapedStep(_Message, frozen=True, kw_only=True):
    """A tool of a document."""

    name: str
    parents: tuple[str, ...] = ()


class Shaped(_Message, frozen=True, kw_only=True, tag_field="is", tag="shaped"):
    """The tools of a document, and the names in its hints that only a central knows."""

    name: str
    title: str = ""
    steps: tuple[ShapedStep, ...] = ()
    storages: tuple[tuple[str, tuple[str, ...]], ...] = ()  # fields, with the names there
    platforms: tuple[tuple[str, str], ...] = ()


class WantedJob(_Message, frozen=True, kw_only=True):
    """A job that a run wants."""

    key: str
    step: str
    spec: dict[str, Any]  # for `pilot/cwl/tool_job.py`
    needs: dict[str, Any] = {}  # see `needs.need_of`
    placement: dict[str, Any] = {}  # see `hints.Scheduling`
    recipe: str = ""  # empty: its result is not reused


class Advanced(_Message, frozen=True, kw_only=True, tag_field="is", tag="advanced"):
    """The jobs that a run wants now. Without any it waits for results."""

    jobs: tuple[WantedJob, ...] = ()
    more: bool = False  # ask again at once: other runs get their turn in between


class Ended(_Message, frozen=True, kw_only=True, tag_field="is", tag="ended"):
    """The run has ended."""

    status: str
    why: tuple[str, ...] = ()
    outputs: Any = None  # a failed run may have none


class Needs(_Message, frozen=True, kw_only=True, tag_field="is", tag="needs"):
    """The run reads these files: give their contents, and ask again."""

    paths: tuple[str, ...]


class Unknown(_Message, frozen=True, kw_only=True, tag_field="is", tag="unknown"):
    """There is no such run: begin it."""


class Unfit(_Message, frozen=True, kw_only=True, tag_field="is", tag="unfit"):
    """The document cannot run."""

    why: str


class Broken(_Message, frozen=True, kw_only=True, tag_field="is", tag="broken"):
    """The call has failed for an unexpected reason."""

    why: str


Answer: TypeAlias = Noted | Shaped | Advanced | Ended | Needs | Unknown | Unfit | Broken
