"""Paths of input files in the payload's folder: the last part of the name, below `to`. Pure."""


def path_of(name: str, to: str) -> str:
    """Return the path of a file in the payload's folder, unless another file has it already."""
    last = name.rpartition("/")[2]
    folder = "/".join(part for part in to.split("/") if part not in ("", "."))
    return f"{folder}/{last}" if folder else last


class PayloadPaths:
    """The paths of one payload's files. The second file of one name becomes 2-NAME, and so on.

    The paths depend on the order of the files alone.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}  # by path: the last number used

    def of(self, name: str, to: str) -> str:
        """Return the path of the next file."""
        path = first = path_of(name, to)
        folder, slash, last = first.rpartition("/")
        while path in self._taken:
            which = self._last[first] = self._last.get(first, 1) + 1
            path = f"{folder}{slash}{which}-{last}"
        self._taken.add(path)
        return path
