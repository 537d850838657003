-- The sealing key (its id) than which nothing older is in an ISP's database any more.
-- up

ALTER TABLE tenants ADD COLUMN sealing_kid TEXT;

-- down

ALTER TABLE tenants DROP COLUMN sealing_kid;
