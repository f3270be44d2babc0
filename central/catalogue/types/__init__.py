"""Our types of storages, one module each; pyproject.toml names them."""
