-- Whether a block is told already is looked for among what came after it.
-- up

CREATE INDEX platform_events_by_time ON platform_events (created_at);

-- down

DROP INDEX platform_events_by_time;
