"""Commands about files of the catalogue and about storages."""
