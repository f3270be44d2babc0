"""The package `signal` without its enumerations, which are a tenth of the memory of the guard.

Where a Python has no such C code, it is the package itself.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signal
else:
    try:
        import _signal as signal
    except ImportError:
        import signal  # noqa: F401
