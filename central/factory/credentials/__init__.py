"""Where credentials of elements come from, one source a file."""
