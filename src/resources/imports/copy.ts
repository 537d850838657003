import type { Context } from '../../context.ts';
import { equalValues } from '../../lib/routeros/values.ts';
import { formatExport, type WritableItem } from '../../lib/routeros/export-file.ts';
import { toIso } from '../../lib/time.ts';
import type { ReadKind } from '../../protocol/messages.ts';
import { askRouter, type Reached } from '../../provisioning/ask-router.ts';
import { readRouter } from '../../provisioning/bridge-client.ts';
import { listLiveRows, type LiveRow } from '../../provisioning/live-rows.ts';
import type { imports } from './table.ts';

/**
 * A router as it is now, written as the export that it would give itself (without passwords: those never leave the
 * bridge). An import from a router is an import of this text; and the text is the copy that is kept.
 */

type ImportKind = (typeof imports.$inferSelect)['kind'];

/** In the order in which a router would need them. */
const READS: Readonly<Record<ImportKind, readonly Extract<ReadKind, 'pools' | 'profiles' | 'secrets'>[]>> = {
  pools: ['pools'],
  profiles: ['profiles'],
  secrets: ['profiles', 'secrets'],
};

const MENUS = { pools: '/ip/pool', profiles: '/ppp/profile', secrets: '/ppp/secret' } as const;

/** What only the router writes, what isn't a setting; and what no bridge sends, whatever one might. */
const NOT_SET = new Set(['password', 'default', 'used', 'last-logged-out', 'last-caller-id', 'last-disconnect-reason']);

const BUILT_IN_IDS: Readonly<Record<string, string>> = { default: '*0', 'default-encryption': '*FFFFFFFE' };

export async function copyRouter(ctx: Context, reached: Reached, kind: ImportKind): Promise<string> {
  const answers = await askRouter(ctx, reached, async () => {
    const read = [];
    for (const what of READS[kind])
      read.push({ what, answer: await readRouter(ctx, reached, { what, name: null, most_age_ms: 0 }) });
    return read;
  });
  const items = answers.flatMap(({ what, answer }) =>
    listLiveRows(answer).flatMap(row => describeItem(MENUS[what], answer.properties, row)),
  );
  const version = /^\d+\.\d[\w.]*/.exec(reached.router.version ?? '')?.[0] ?? '7.0';
  return formatExport(items, { version, now_text: toIso(ctx.now).slice(0, 19).replace('T', ' ') });
}

function describeItem(menu: string, properties: readonly string[], row: LiveRow): WritableItem[] {
  const name = row.text('name');
  if (name === null) return [];
  const target = menu === '/ppp/profile' ? BUILT_IN_IDS[name] : undefined;
  const props = new Map<string, string>();
  for (const property of properties) {
    const value = row.text(property);
    if (value === null || NOT_SET.has(property) || isDefault(menu, property, value)) continue;
    props.set(property, property === 'disabled' ? 'yes' : value);
  }
  if (target === undefined) return [{ menu, verb: 'add', props }];
  props.delete('name');
  return props.size === 0 ? [] : [{ menu, verb: 'set', target, props }];
}

/** An export leaves out what is as it would be without a word. */
function isDefault(menu: string, property: string, value: string): boolean {
  if (property === 'name' || property === 'comment') return value === '';
  const says_nothing = value === '' || value === 'none' || (menu === '/ppp/profile' && value === 'default');
  return says_nothing || equalValues(menu, property, value, undefined);
}
