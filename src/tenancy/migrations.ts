import directory1 from '../../migrations/directory/0001_tenants.sql';
import directory2 from '../../migrations/directory/0002_daily_jobs.sql';
import directory3 from '../../migrations/directory/0003_sealing_keys.sql';
import directory4 from '../../migrations/directory/0004_platform_events_by_time.sql';
import tenant1 from '../../migrations/tenant/0001_people_and_events.sql';
import tenant2 from '../../migrations/tenant/0002_network.sql';
import tenant3 from '../../migrations/tenant/0003_customers_and_plans.sql';
import tenant4 from '../../migrations/tenant/0004_provisioning_and_imports.sql';
import tenant5 from '../../migrations/tenant/0005_dues_tickets_usage.sql';
import tenant6 from '../../migrations/tenant/0006_watching_routers.sql';
import tenant7 from '../../migrations/tenant/0007_live_imports_and_pools.sql';
import tenant8 from '../../migrations/tenant/0008_what_routers_hold.sql';
import tenant9 from '../../migrations/tenant/0009_money.sql';
import tenant10 from '../../migrations/tenant/0010_sessions_and_second_factor.sql';
import tenant11 from '../../migrations/tenant/0011_bridge_keys.sql';
import { parseMigration } from './migrate.ts';

/** The SQL files, bundled into the Worker, in order. A new file is a line here; a landed one is never edited. */

export const DIRECTORY_MIGRATIONS = [
  parseMigration('0001_tenants.sql', directory1),
  parseMigration('0002_daily_jobs.sql', directory2),
  parseMigration('0003_sealing_keys.sql', directory3),
  parseMigration('0004_platform_events_by_time.sql', directory4),
];

export const TENANT_MIGRATIONS = [
  parseMigration('0001_people_and_events.sql', tenant1),
  parseMigration('0002_network.sql', tenant2),
  parseMigration('0003_customers_and_plans.sql', tenant3),
  parseMigration('0004_provisioning_and_imports.sql', tenant4),
  parseMigration('0005_dues_tickets_usage.sql', tenant5),
  parseMigration('0006_watching_routers.sql', tenant6),
  parseMigration('0007_live_imports_and_pools.sql', tenant7),
  parseMigration('0008_what_routers_hold.sql', tenant8),
  parseMigration('0009_money.sql', tenant9),
  parseMigration('0010_sessions_and_second_factor.sql', tenant10),
  parseMigration('0011_bridge_keys.sql', tenant11),
];
