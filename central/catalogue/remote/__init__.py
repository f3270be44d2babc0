"""Work of the central itself on storages: requests, removals, copies between storages."""
