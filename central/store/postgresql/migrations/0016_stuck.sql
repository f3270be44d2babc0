-- The state MaxReset of inputs is called Stuck. The trigger of `input` moves the counts; its
-- rows of MaxReset with 0 files go, since no state has this name any more.
ALTER TABLE input DROP CONSTRAINT input_state_check;
UPDATE input SET state = 'Stuck' WHERE state = 'MaxReset';
ALTER TABLE input ADD CONSTRAINT input_state_check
    CHECK (state IN ('Unused', 'Assigned', 'Processed', 'Stuck', 'Problematic', 'Missing',
                     'Removed', 'Moved', 'Shared'));
DELETE FROM input_count WHERE state = 'MaxReset';
