"""The matcher decides which job suits which offer. Pure: no I/O, no clock, no random numbers."""

from importlib import import_module as _import_module
from pathlib import Path as _Path

from . import compiled as _compiled

# Before any module is imported: a compiled form is the same modules in another folder.
if (_found := _compiled.find(_Path(__file__).parent)) is not None:
    __path__.insert(0, _found)
    for _folder in _Path(_found).iterdir():  # sub-rooms, whose `__init__` holds only a docstring
        if _folder.is_dir() and _folder.name.isidentifier() and not _folder.name.startswith("_"):
            _import_module(f".{_folder.name}", __name__).__path__.insert(0, str(_folder))

from .matcher import Matcher

is_compiled = _found is not None
__all__ = ["Matcher", "is_compiled"]
