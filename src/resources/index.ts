import type { Resource } from '../http/resource.ts';
import { alertsResource } from './alerts/index.ts';
import { auditLogsResource } from './audit-logs/index.ts';
import { authResource } from './auth/index.ts';
import { billingResource } from './billing/index.ts';
import { bridgesResource } from './bridges/index.ts';
import { customersResource } from './customers/index.ts';
import { devicesResource } from './devices/index.ts';
import { importsResource } from './imports/index.ts';
import { invoicesResource } from './invoices/index.ts';
import { ipPoolsResource } from './ip-pools/index.ts';
import { isolirResource } from './isolir/index.ts';
import { jobsResource } from './jobs/index.ts';
import { liveResource } from './live/index.ts';
import { paymentsResource } from './payments/index.ts';
import { provisioningResource } from './provisioning/index.ts';
import { receiptsResource } from './receipts/index.ts';
import { routersResource } from './routers/index.ts';
import { securityResource } from './security/index.ts';
import { servicePlansResource } from './service-plans/index.ts';
import { sessionsResource } from './sessions/index.ts';
import { settingsResource } from './settings/index.ts';
import { tenantsResource } from './tenants/index.ts';
import { usersResource } from './users/index.ts';
import { zonesResource } from './zones/index.ts';

/** All resources of the API. Adding one is a folder and a line here. */
export const resources: readonly Resource[] = [
  tenantsResource,
  authResource,
  sessionsResource,
  usersResource,
  securityResource,
  settingsResource,
  auditLogsResource,
  customersResource,
  zonesResource,
  servicePlansResource,
  paymentsResource,
  receiptsResource,
  invoicesResource,
  billingResource,
  bridgesResource,
  routersResource,
  provisioningResource,
  ipPoolsResource,
  devicesResource,
  alertsResource,
  importsResource,
  jobsResource,
  liveResource,
  isolirResource,
];
