"""Where files lie beside a program: by their last names, in the folder of their input. Pure."""


def path_of(name: str, to: str) -> str:
    """Return where a file lies in the payload's folder, if it is the first of its name there."""
    last = name.rpartition("/")[2]
    folder = "/".join(part for part in to.split("/") if part not in ("", "."))
    return f"{folder}/{last}" if folder else last


class PayloadPaths:
    """The places of one program's files: of those of one name the second is 2-NAME, and so on.

    They follow from the order of the files alone.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}  # by path: the last number that was given

    def of(self, name: str, to: str) -> str:
        """Return where the next file lies."""
        path = first = path_of(name, to)
        folder, slash, last = first.rpartition("/")
        while path in self._taken:
            which = self._last[first] = self._last.get(first, 1) + 1
            path = f"{folder}{slash}{which}-{last}"
        self._taken.add(path)
        return path
