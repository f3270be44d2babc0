-- name: get_generation
SELECT generation FROM store WHERE one = 1;

-- name: migrations
SELECT number, name, checksum FROM migration ORDER BY number;

-- name: insert_migration
INSERT INTO migration (number, name, checksum, at) VALUES (:number, :name, :checksum, :at);
