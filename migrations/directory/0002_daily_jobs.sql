-- The last day, of its own calendar, for which an ISP's daily job came to its end.
-- up

ALTER TABLE tenants ADD COLUMN daily_done_on TEXT;

-- down

ALTER TABLE tenants DROP COLUMN daily_done_on;
