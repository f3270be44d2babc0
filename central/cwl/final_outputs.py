"""The outputs of a run, with all that is known about their files."""

import copy
from typing import Any
from urllib.parse import unquote

from cwltool.stdfsaccess import StdFsAccess
from cwltool.utils import get_listing, normalizeFilesDirs, visit_class

from .known_files import RunAccess, RunFiles


def final_outputs(outputs: Any, files: RunFiles) -> Any:
    """Return outputs as plain values: folders have their files, and files their paths in the run.

    Raises OSError if an output is no file of the run.
    """
    found = copy.deepcopy(outputs)
    access: StdFsAccess = RunAccess("", files)
    normalizeFilesDirs(found)
    get_listing(access, found, recursive=True)

    def place(one: Any) -> None:
        location = one.get("location", "")
        one.pop("path", None)
        if location.startswith("_:"):
            one.pop("location")
            return
        path = files.newest(unquote(location.removeprefix("file://")))
        one["location"] = path
        if one["class"] == "File":
            one["size"] = access.size(path)
            if sha1 := RunAccess("", files).sha1(path):
                one["checksum"] = f"sha1${sha1}"

    visit_class(found, ("File", "Directory"), place)
    return found
