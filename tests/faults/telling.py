"""How a process that is recorded says what is certain by now."""

import os
import signal


class Teller:
    """Says facts, and ends the process when it has said enough of them."""

    def __init__(self, die_after: int) -> None:
        self._left = die_after or -1

    def __call__(self, *words: object) -> None:
        os.write(1, (" ".join(map(str, words)) + "\n").encode())
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
