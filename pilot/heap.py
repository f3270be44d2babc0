"""The C library's heap, which keeps memory that the process does not use any more."""

import ctypes


def give_back() -> None:
    """Return free memory to the system: parsing sources leaves megabytes that are not needed again.

    Only glibc can do that; elsewhere nothing happens.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
