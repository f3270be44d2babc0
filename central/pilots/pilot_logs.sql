-- name: attempts_of_pilot
SELECT a.attempt_id, a.job_id, a.epoch
  FROM json_each(:ids) AS i
 CROSS JOIN attempt AS a ON a.attempt_id = i.value::bigint
 WHERE a.pilot = :pilot;

-- name: insert_log_source
INSERT INTO log_source (pilot, community, site, element, host, batch_id)
VALUES (:pilot, :community, :site, :element, :host, :batch_id)
    ON CONFLICT DO NOTHING;

-- name: get_log_source
SELECT source_id, last_n, bytes FROM log_source WHERE pilot = :pilot;

-- name: insert_log_parcel
INSERT INTO log_parcel (parcel_id, source_id, community, kept_at, bytes, jobs, lines)
VALUES (:parcel_id, :source_id, :community, :kept_at, :bytes, :jobs, :lines);

-- name: insert_log_job
INSERT INTO log_job (job_id, parcel_id) VALUES (:job_id, :parcel_id);

-- name: add_to_log_source
UPDATE log_source SET last_n = :last_n, bytes = bytes + :bytes::bigint WHERE source_id = :source_id;

-- name: last_log_number
SELECT last_n FROM log_source WHERE pilot = :pilot;

-- name: log_end
-- The id of the newest parcel so far, which may be deleted.
SELECT next - 1 FROM counter WHERE name = 'parcel';

-- name: log_bytes
SELECT coalesce(sum(bytes), 0)::bigint FROM log_source;

-- name: first_log_since
SELECT parcel_id FROM log_parcel WHERE kept_at >= :since ORDER BY kept_at, parcel_id LIMIT 1;

-- name: log_sources_of_pilot
SELECT source_id FROM log_source
 WHERE pilot = :pilot
   AND (:community::text IS NULL OR community = :community)
   AND (:pilot::text = '' OR pilot = :pilot)
   AND (:site::text = '' OR site = :site) AND (:host::text = '' OR host = :host)
   AND (:batch_id::text = '' OR batch_id = :batch_id);

-- name: log_sources_of_batch
SELECT source_id FROM log_source
 WHERE batch_id = :batch_id AND batch_id <> ''
   AND (:community::text IS NULL OR community = :community)
   AND (:pilot::text = '' OR pilot = :pilot)
   AND (:site::text = '' OR site = :site) AND (:host::text = '' OR host = :host)
   AND (:batch_id::text = '' OR batch_id = :batch_id);

-- name: log_sources_of_host
SELECT source_id FROM log_source
 WHERE host = :host
   AND (:community::text IS NULL OR community = :community)
   AND (:pilot::text = '' OR pilot = :pilot)
   AND (:site::text = '' OR site = :site) AND (:host::text = '' OR host = :host)
   AND (:batch_id::text = '' OR batch_id = :batch_id);

-- name: log_sources_of_site
SELECT source_id FROM log_source
 WHERE site = :site
   AND (:community::text IS NULL OR community = :community)
   AND (:pilot::text = '' OR pilot = :pilot)
   AND (:site::text = '' OR site = :site) AND (:host::text = '' OR host = :host)
   AND (:batch_id::text = '' OR batch_id = :batch_id);

-- name: log_of_job
SELECT j.parcel_id
  FROM log_job AS j
 CROSS JOIN log_parcel AS p ON p.parcel_id = j.parcel_id
 CROSS JOIN log_source AS s ON s.source_id = p.source_id
 WHERE j.job_id = :job AND j.parcel_id > :after AND j.parcel_id < :before
   AND (:community::text IS NULL OR s.community = :community)
   AND (:pilot::text = '' OR s.pilot = :pilot)
   AND (:site::text = '' OR s.site = :site) AND (:host::text = '' OR s.host = :host)
   AND (:batch_id::text = '' OR s.batch_id = :batch_id)
 ORDER BY j.parcel_id LIMIT :limit;

-- name: log_of_sources
SELECT p.parcel_id
  FROM json_each(:sources) AS s
 CROSS JOIN log_parcel AS p ON p.source_id = s.value::bigint
 WHERE p.parcel_id > :after AND p.parcel_id < :before
 ORDER BY p.parcel_id LIMIT :limit;

-- name: log_of_community
SELECT parcel_id FROM log_parcel
 WHERE community = :community AND parcel_id > :after AND parcel_id < :before
 ORDER BY parcel_id LIMIT :limit;

-- name: log_of_all
SELECT parcel_id FROM log_parcel
 WHERE parcel_id > :after AND parcel_id < :before
 ORDER BY parcel_id LIMIT :limit;

-- name: log_of_job_back
SELECT j.parcel_id
  FROM log_job AS j
 CROSS JOIN log_parcel AS p ON p.parcel_id = j.parcel_id
 CROSS JOIN log_source AS s ON s.source_id = p.source_id
 WHERE j.job_id = :job AND j.parcel_id > :after AND j.parcel_id < :before
   AND (:community::text IS NULL OR s.community = :community)
   AND (:pilot::text = '' OR s.pilot = :pilot)
   AND (:site::text = '' OR s.site = :site) AND (:host::text = '' OR s.host = :host)
   AND (:batch_id::text = '' OR s.batch_id = :batch_id)
 ORDER BY j.parcel_id DESC LIMIT :limit;

-- name: log_of_sources_back
SELECT p.parcel_id
  FROM json_each(:sources) AS s
 CROSS JOIN log_parcel AS p ON p.source_id = s.value::bigint
 WHERE p.parcel_id > :after AND p.parcel_id < :before
 ORDER BY p.parcel_id DESC LIMIT :limit;

-- name: log_of_community_back
SELECT parcel_id FROM log_parcel
 WHERE community = :community AND parcel_id > :after AND parcel_id < :before
 ORDER BY parcel_id DESC LIMIT :limit;

-- name: log_of_all_back
SELECT parcel_id FROM log_parcel
 WHERE parcel_id > :after AND parcel_id < :before
 ORDER BY parcel_id DESC LIMIT :limit;

-- name: log_parcels_given
SELECT p.parcel_id, s.pilot, s.community, s.site, s.element, s.host, s.batch_id, p.lines
  FROM json_each(:ids) AS i
 CROSS JOIN log_parcel AS p ON p.parcel_id = i.value::bigint
 CROSS JOIN log_source AS s ON s.source_id = p.source_id
 ORDER BY p.parcel_id;

-- name: oldest_parcels_of_source
SELECT parcel_id, source_id, bytes FROM log_parcel
 WHERE source_id = :source_id ORDER BY parcel_id LIMIT :limit;

-- name: oldest_parcels
SELECT parcel_id, source_id, bytes FROM log_parcel
 WHERE parcel_id IN (SELECT parcel_id FROM log_parcel ORDER BY parcel_id LIMIT :limit)
   AND kept_at < :before;

-- name: remove_jobs_of_parcels
DELETE FROM log_job
 WHERE (job_id, parcel_id) IN (
    SELECT j.value::bigint, p.parcel_id
      FROM json_each(:parcels) AS i
     CROSS JOIN log_parcel AS p ON p.parcel_id = i.value::bigint
     CROSS JOIN json_each(p.jobs) AS j);

-- name: remove_parcels
DELETE FROM log_parcel WHERE parcel_id IN (SELECT value::bigint FROM json_each(:parcels));

-- name: lessen_log_source
UPDATE log_source SET bytes = bytes - :bytes::bigint WHERE source_id = :source_id;

-- name: remove_empty_log_sources
-- A source stays while its pilot is known: it has the number of the pilot's last line.
DELETE FROM log_source
 WHERE source_id IN (
    SELECT s.source_id FROM log_source AS s
     WHERE s.bytes = 0 AND NOT EXISTS (SELECT 1 FROM pilot AS p WHERE p.pilot = s.pilot)
     LIMIT :limit);

-- name: check_pilot_logs
-- Checks the total size of each pilot's parcels, and the links between parcels and jobs.
SELECT format('pilot %s is noted with %s bytes of log, but its parcels have %s', s.pilot, s.bytes,
              coalesce(p.bytes, 0))
  FROM log_source AS s
  LEFT JOIN (SELECT source_id, sum(bytes) AS bytes FROM log_parcel GROUP BY source_id) AS p
       USING (source_id)
 WHERE s.bytes <> coalesce(p.bytes, 0)
UNION ALL
SELECT format('parcel %s of a log belongs to no pilot', p.parcel_id)
  FROM log_parcel AS p LEFT JOIN log_source AS s USING (source_id)
 WHERE s.source_id IS NULL
UNION ALL
SELECT format('job %s is linked to parcel %s of a log, which does not exist', j.job_id, j.parcel_id)
  FROM log_job AS j LEFT JOIN log_parcel AS p USING (parcel_id)
 WHERE p.parcel_id IS NULL
UNION ALL
SELECT format('parcel %s of a log is about job %s, but is not linked to it', p.parcel_id, n.value)
  FROM log_parcel AS p CROSS JOIN json_each(p.jobs) AS n
  LEFT JOIN log_job AS j ON j.job_id = n.value::bigint AND j.parcel_id = p.parcel_id
 WHERE j.job_id IS NULL
 LIMIT :limit;
