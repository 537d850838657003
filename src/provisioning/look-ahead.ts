import { sql } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { AppError, notFound } from '../errors.ts';
import type { EntryResult } from '../protocol/messages.ts';
import { askRouter } from './ask-router.ts';
import { applyToRouter } from './bridge-client.ts';
import type { DesiredRow, IsolirPool } from './desired.ts';
import { describeTask } from './describe.ts';
import { UNTRIED, type ProvisioningRow } from '../resources/provisioning/table.ts';
import { readTask, type DueRow } from './task.ts';

/** What applying these entries, the router's own, would change there. Nothing is written, on the router or here. */
export async function lookAhead(
  ctx: Context,
  router_id: string,
  wanted: readonly DesiredRow[],
  /** What stands for entries that would go. */
  unwanted: readonly ProvisioningRow[],
  isolir_pool: IsolirPool,
): Promise<EntryResult[]> {
  const task = await readTask(ctx, router_id, sql`0`, 1);
  if (task === null) throw notFound('router');
  if (task instanceof AppError) throw task;
  const { entries } = await describeTask(
    ctx,
    { ...task, rows: [...wanted.map(toDueRow), ...unwanted.map(toGoingRow)], isolir_pool },
    {},
  );
  const answer = await askRouter(ctx, task, () =>
    applyToRouter(
      ctx,
      task.bridge,
      task.router,
      { entries, dry_run: true, is_whole: false },
      { item_passwords: {}, someone_waits: true },
    ),
  );
  return answer.entries;
}

/** By kind and key: it has no row yet. */
export const wantedRef = ({ kind, key }: { kind: string; key: string }): string => `${kind}:${key}`;

const toDueRow = (wanted: DesiredRow): DueRow => ({
  ...NO_ROW,
  ...wanted,
  setup: wanted.setup ?? null,
  id: wantedRef(wanted),
});

const toGoingRow = (row: ProvisioningRow): DueRow => ({ ...NO_ROW, ...row, id: wantedRef(row), desired: null });

const NO_ROW = {
  ...UNTRIED,
  customer_code: null,
  full_name: null,
  customer_status: null,
  pppoe_password: null,
  created_at: '',
  updated_at: '',
};
