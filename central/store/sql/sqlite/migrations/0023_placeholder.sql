-- Holds the number of a step that comes from another branch. It changes nothing.
SELECT 1;
