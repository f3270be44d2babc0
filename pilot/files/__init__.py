"""The folders and files of attempts: packing, search, measurement and removal."""
