-- columns: notification
notification_id, owner_id, channel, at, body, message_id, tries, due, sent_at, why;

-- name: notify_address
SELECT mail, webhook FROM notify_address WHERE owner_id = :owner_id;

-- name: verified_mail
SELECT p.email FROM owner AS o
 CROSS JOIN person AS p ON p.issuer = o.issuer AND p.subject = o.subject
 WHERE o.owner_id = :owner_id;

-- name: keep_notify_address
INSERT INTO notify_address (owner_id, mail, webhook) VALUES (:owner_id, :mail, :webhook)
    ON CONFLICT (owner_id) DO UPDATE SET mail = excluded.mail, webhook = excluded.webhook;

-- name: keep_subscription
INSERT INTO subscription (kind, subject_id, owner_id, events)
VALUES (:kind, :subject_id, :owner_id, :events)
    ON CONFLICT (kind, subject_id, owner_id) DO UPDATE SET events = excluded.events;

-- name: shrink_subscription
UPDATE subscription SET events = :left
 WHERE kind = :kind AND subject_id = :subject_id AND owner_id = :owner_id AND events = :events
RETURNING 1;

-- name: drop_subscription
-- `events`: NULL drops it whatever it has.
DELETE FROM subscription
 WHERE kind = :kind AND subject_id = :subject_id AND owner_id = :owner_id
   AND (:events::text IS NULL OR events = :events::text)
RETURNING 1;

-- name: count_subscriptions
SELECT count(*) FROM subscription WHERE owner_id = :owner_id;

-- name: subscriptions_of
SELECT kind, subject_id, owner_id, events FROM subscription
 WHERE owner_id = :owner_id ORDER BY kind, subject_id LIMIT :limit;

-- name: subscriptions_after
SELECT kind, subject_id, owner_id, events FROM subscription
 WHERE (kind, subject_id, owner_id) > (:kind, :subject_id::bigint, :owner_id::bigint)
 ORDER BY kind, subject_id, owner_id LIMIT :limit;

-- name: owner_of_submission
SELECT owner_id FROM submission WHERE submission_id = :submission_id AND complete = 1;

-- name: followed_submission
SELECT community, owner_id, name, at, complete, ranges FROM submission
 WHERE submission_id = :submission_id;

-- name: states_of_span
SELECT state, count(*) FROM job WHERE job_id BETWEEN :first AND :last GROUP BY state;

-- name: states_of_zones
-- Count the jobs of an owner in whole zones.
SELECT z.state, sum(z.jobs)::bigint
  FROM json_each(:states) AS s
 CROSS JOIN class AS c
 CROSS JOIN zone AS z ON z.class_id = c.class_id AND z.state = s.value
 WHERE c.owner_id = :owner_id AND z.zone BETWEEN :from AND :to
 GROUP BY z.state;

-- name: put_notification
INSERT INTO notification (notification_id, owner_id, channel, at, body, due)
VALUES (:notification_id, :owner_id, :channel, :at, :body, :at);

-- name: count_pending
SELECT count(*) FROM notification
 WHERE owner_id = :owner_id AND channel = :channel AND due IS NOT NULL;

-- name: owners_due
SELECT owner_id FROM notification
 WHERE channel = :channel AND due <= :now
 GROUP BY owner_id ORDER BY min(due) LIMIT :limit;

-- name: open_message
-- The message of an owner that was begun and is not sent yet.
SELECT {notification} FROM notification
 WHERE owner_id = :owner_id AND channel = :channel AND due IS NOT NULL
   AND message_id = notification_id
 ORDER BY notification_id LIMIT 1;

-- name: pending_notifications
SELECT {notification} FROM notification
 WHERE owner_id = :owner_id AND channel = :channel AND due IS NOT NULL AND message_id IS NULL
 ORDER BY notification_id LIMIT :limit;

-- name: notifications_of_message
SELECT {notification} FROM notification WHERE message_id = :message_id ORDER BY notification_id;

-- name: sent_times
SELECT sent_at FROM notification
 WHERE owner_id = :owner_id AND channel = :channel AND message_id = notification_id
   AND sent_at > :since
 ORDER BY sent_at;

-- name: begin_message
-- The first notification stays due, the others go with it.
UPDATE notification
   SET message_id = :message_id, due = CASE WHEN notification_id = :message_id THEN due END
 WHERE notification_id IN (SELECT value::bigint FROM json_each(:ids)) AND message_id IS NULL;

-- name: put_off
UPDATE notification SET due = :due
 WHERE owner_id = :owner_id AND channel = :channel AND due < :due;

-- name: message_sent
UPDATE notification SET due = NULL, sent_at = :at, why = '', tries = tries + 1
 WHERE message_id = :message_id;

-- name: message_failed
UPDATE notification SET due = :due, why = :why, tries = tries + 1
 WHERE notification_id = :message_id AND sent_at IS NULL;

-- name: drop_pending
-- Give up what waits for an address that is gone.
UPDATE notification SET due = NULL, why = :why
 WHERE owner_id = :owner_id AND channel = :channel AND due IS NOT NULL;

-- name: recent_notifications
SELECT n.notification_id, n.owner_id, n.channel, n.at, n.body, n.message_id, m.tries,
       coalesce(m.due, n.due), n.sent_at, m.why
  FROM notification AS n
  JOIN notification AS m ON m.notification_id = coalesce(n.message_id, n.notification_id)
 WHERE n.owner_id = :owner_id
 ORDER BY n.notification_id DESC LIMIT :limit;

-- name: drop_notifications
DELETE FROM notification
 WHERE notification_id IN (SELECT notification_id FROM notification
                            WHERE at < :before AND due IS NULL ORDER BY at LIMIT :limit);
