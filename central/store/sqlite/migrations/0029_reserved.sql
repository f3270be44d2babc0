-- This number is reserved for a migration that is made at the same time.
SELECT 1;
