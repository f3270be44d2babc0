"""Sources of credentials for elements, one source a module."""
