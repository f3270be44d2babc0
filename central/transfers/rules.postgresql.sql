-- name: rule_like
SELECT rule_id FROM rule
 WHERE community = :community AND hash_of(did) = hash_of(:did::text)
   AND hash_of(query) = hash_of(:query::text) AND copies = :copies
   AND hash_of(storages) = hash_of(:storages::text);
