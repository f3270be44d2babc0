"""The central and the pilot of the stories at the command line."""

from ..faces.conftest import site as site
