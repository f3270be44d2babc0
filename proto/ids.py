"""What identifies things. Numbers come from counter rows of the store and are never reused."""

from typing import Final

ID_MAX: Final = 2**53 - 1  # what every JSON reader holds exactly
