"""Files of jobs on storages: fetched before a payload starts, stored after it has ended."""
