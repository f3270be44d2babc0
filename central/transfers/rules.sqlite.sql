-- name: rule_like
SELECT rule_id FROM rule
 WHERE community = :community AND did = :did AND query = :query AND copies = :copies
   AND storages = :storages;
