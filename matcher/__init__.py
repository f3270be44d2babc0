"""Which job for which offer. Pure: no I/O, no clock, no randomness of its own."""

from pathlib import Path as _Path

from . import compiled as _compiled

# Before the first module is looked for: a compiled form is the same modules in another folder.
if (_found := _compiled.find(_Path(__file__).parent)) is not None:
    __path__.insert(0, _found)

from .matcher import Matcher

is_compiled = _found is not None
__all__ = ["Matcher", "is_compiled"]
