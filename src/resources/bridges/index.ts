import { eq, sql } from 'drizzle-orm';
import { z } from 'zod';
import { parseTenantSecret } from '../../auth/tokens.ts';
import { read } from '../../db/session.ts';
import { crud } from '../../http/crud.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id, Instant, line } from '../../http/fields.ts';
import { contains, during } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { EnrolAnswer, EnrolRequest, ReportAnswer, ReportRequest } from '../../protocol/messages.ts';
import { retryBridge } from '../../provisioning/settle-circuit.ts';
import { resolveAlerts } from '../alerts/index.ts';
import { checkBridgeUrl, enrolBridge, issueEnrolmentToken, SECRETS, selectItsRouters } from './actions.ts';
import { takeReport } from './report.ts';
import { rotateKeys } from './rotate.ts';
import { bridges, CONNECTION_STATES, one_time_tokens } from './table.ts';

export { bridges, CONNECTION_STATES, type BridgeRow } from './table.ts';

/** One batch of a bridge with 100,000 lines. */
const MOST_REPORT_BYTES = 16 * 1024 * 1024;

const BridgeInput = z
  .strictObject({
    name: line(100),
    url: z.string().max(300).nullable().optional().describe('Where the Worker reaches it: its tunnel’s host name.'),
  })
  .meta({ id: 'BridgeInput' });

const Bridge = z
  .object({
    id: Id,
    name: z.string(),
    url: z.string().nullable(),
    status: z.enum(CONNECTION_STATES),
    last_heartbeat_at: Instant.nullable().describe('When it last answered.'),
    version: z.string().nullable(),
    enrolled_at: Instant.nullable().describe('Null until `rukun-bridge enroll` was run with its token.'),
    rotation_begun_at: Instant.nullable().describe(
      'Its keys are being renewed since then, and the bridge hasn’t said yet that it has the next ones.',
    ),
    keys_rotated_at: Instant.nullable().describe('When its keys were last renewed by a rotation.'),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Bridge' });

const EnrolmentToken = z
  .object({
    id: Id,
    token: z.string().describe('For `rukun-bridge enroll --token`: once, within the hour. Shown this once.'),
    expires_at: Instant,
  })
  .meta({ id: 'EnrolmentToken' });

const { routes } = crud({
  name: 'bridge',
  plural: 'bridges',
  table: bridges,
  permissions: { read: 'routers:read', write: 'routers:write' },
  row: Bridge,
  input: BridgeInput,
  list: {
    filters: { created_at: during(bridges.created_at) },
    sort: ['name', 'created_at'],
    default_sort: 'name',
    search: contains(bridges.name),
    omit: [...SECRETS, 'last_report_ms', 'spool_id', 'spool_number', 'last_measured_at'],
  },
  secrets: SECRETS,
  prepare: async (ctx, sent, { id, before }) => {
    if (sent.url) checkBridgeUrl(ctx, sent.url);
    if (!before) return { columns: { ...sent, status: 'unknown' as const } };
    if (sent.url === undefined || sent.url === before.url) return { columns: sent };
    const [its_routers] = await read(ctx, selectItsRouters(ctx, id));
    return { columns: sent, writes: retryBridge(ctx, id), routers: its_routers.map(router => router.id) };
  },
  beforeDelete: (ctx, row) => [
    ...resolveAlerts(ctx, 'bridge_offline', sql`SELECT ${row.id} AS entity_id, ${ctx.now} AS at`),
    ctx.db.orm.delete(one_time_tokens).where(eq(one_time_tokens.subject_id, row.id)),
  ],
});

export const bridgesResource: Resource = {
  path: '/bridges',
  routes: {
    ...routes,
    'POST /enroll': endpoint({
      id: 'bridges.enroll',
      summary: 'A bridge enrols itself',
      description: 'Called by `rukun-bridge enroll`; the token names the provider and is spent by it.',
      needs: 'public',
      body: EnrolRequest.meta({ id: 'EnrolRequest' }),
      tenantOf: body => parseTenantSecret(body.token)?.tenant_id ?? null,
      returns: { one: EnrolAnswer.meta({ id: 'EnrolAnswer' }) },
      errors: ['UNAUTHORIZED', 'CONFLICT'],
      run: (ctx, { body }) => enrolBridge(ctx, body),
    }),
    'POST /report': endpoint({
      id: 'bridges.report',
      summary: 'A bridge reports: it lives, and this is what it measured',
      description:
        'Signed with the bridge’s secret, as is the answer. A batch that was stored before isn’t stored again.',
      needs: 'bridge',
      body: ReportRequest.meta({ id: 'ReportRequest' }),
      most_bytes: MOST_REPORT_BYTES,
      returns: { one: ReportAnswer.meta({ id: 'ReportAnswer' }) },
      run: (ctx, { body }) => takeReport(ctx, body),
    }),
    'POST /:id/enroll': endpoint({
      id: 'bridges.issueToken',
      summary: 'Get a one-time token to enrol (or re-enrol) a bridge',
      needs: 'routers:write',
      returns: { one: EnrolmentToken },
      status: 201,
      run: (ctx, { params }) => issueEnrolmentToken(ctx, params.id),
    }),
    'POST /:id/rotate': endpoint({
      id: 'bridges.rotateKeys',
      summary: 'Renew the keys of a bridge',
      description:
        'The running bridge gets another signing secret and makes itself another key pair; the ones before are refused as ' +
        'soon as both sides have the new ones. Where it doesn’t answer (503) the rotation stays begun, and is finished ' +
        'when the bridge reports again, or by asking again.',
      needs: 'routers:write',
      returns: { one: Bridge },
      errors: ['BRIDGE_OFFLINE', 'INVALID_TRANSITION', 'CONFLICT'],
      run: (ctx, { params }) => rotateKeys(ctx, params.id),
    }),
  },
};
