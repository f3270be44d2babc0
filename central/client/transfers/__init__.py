"""Files between this machine and storages."""
