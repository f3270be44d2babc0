"""The package `signal` without its enumerations, which take a tenth of the guard's memory.

If a Python lacks this C code, the package itself is used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signal
else:
    try:
        import _signal as signal
    except ImportError:
        import signal  # noqa: F401
