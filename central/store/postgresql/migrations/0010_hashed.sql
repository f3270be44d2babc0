-- What users write may be long, and a row of an index may not: whatever is longer than a third of a
-- page is refused. What has no two alike is found by its hash.

ALTER TABLE class DROP CONSTRAINT class_owner_id_community_group_name_type_needs_preference_key;
CREATE UNIQUE INDEX class_alike
    ON class (owner_id, community, group_name, type, sha256(needs), sha256(preference));

-- convert_to is not immutable only because it may be asked for other encodings.
CREATE FUNCTION hash_of(value TEXT) RETURNS BYTEA LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT sha256(convert_to(value, 'utf8'))
$$;

ALTER TABLE rule DROP CONSTRAINT rule_community_did_query_copies_storages_key;
CREATE UNIQUE INDEX rule_alike
    ON rule (community, hash_of(did), hash_of(query), copies, hash_of(storages));
