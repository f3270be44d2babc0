"""Files of jobs on storages: brought before a payload starts, stored after it has ended."""
