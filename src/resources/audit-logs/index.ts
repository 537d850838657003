import { endpoint } from '../../http/endpoint.ts';
import type { Resource } from '../../http/resource.ts';
import { exportAuditLog, ExportQuery } from './export.ts';
import { AuditLog, audit_list } from './list.ts';

export { AuditLog, audit_list } from './list.ts';

export const auditLogsResource: Resource = {
  path: '/audit-logs',
  routes: {
    'GET /': endpoint({
      id: 'auditLogs.list',
      summary: 'Who changed what, and when',
      needs: 'audit:read',
      query: audit_list.query,
      returns: { list: AuditLog },
      run: (ctx, { query }) => audit_list.readPage(ctx, query),
    }),
    'GET /export': endpoint({
      id: 'auditLogs.export',
      summary: 'The audit log as CSV',
      description: 'With the list’s filters, newest first; refused where more than 10,000 entries match.',
      needs: 'audit:read',
      query: ExportQuery,
      returns: { file: ['text/csv'] },
      run: (ctx, { query }) => exportAuditLog(ctx, query),
    }),
  },
};
