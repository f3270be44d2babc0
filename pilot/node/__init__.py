"""The node: the detected and declared facts, and its benchmark."""
