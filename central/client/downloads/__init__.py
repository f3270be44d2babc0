"""Downloads of the outputs of many jobs: their paths, the transfer, and what takes the bytes."""
