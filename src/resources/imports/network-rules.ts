import type { ExportFile, ExportItem } from '../../lib/routeros/export-file.ts';
import { parsePoolRanges } from '../../lib/routeros/pool-ranges.ts';
import { readMarker } from '../../provisioning/diff.ts';
import { collectProfiles, judgeProfile, nameOfProfile, type ImportPlan, type KnownState } from './rules.ts';

/** From a router's profiles to plans, and from its pools to ours; with a reason for whatever doesn't become one. Pure. */

const BUILT_IN = new Set(['default', 'default-encryption']);

/** Plans from profiles that no plan has yet. */
export function planProfiles(file: ExportFile, known: KnownState): ImportPlan {
  const plan: ImportPlan = { creates: [], skips: [], conflicts: [], plans: [], ignored: [] };
  const profiles = collectProfiles(file);
  for (const item of file.items.filter(found => found.menu === '/ppp/profile')) {
    const name = nameOfProfile(item) ?? '';
    const { line } = item;
    const skip = (reason: string) => plan.skips.push({ line, name, reason });
    if (name === '') skip('has no name');
    else if (profiles.get(name) !== item) skip(`says what line ${profiles.get(name)!.line} says otherwise`);
    else if (BUILT_IN.has(name)) skip('is built in: it becomes a plan when secrets that are on it are imported');
    else if (name === known.isolir_profile) skip('is the profile of the suspended');
    else judge(plan, item, name, known);
  }
  return plan;
}

function judge(plan: ImportPlan, item: ExportItem, name: string, known: KnownState): void {
  const { line } = item;
  const { problem, draft } = judgeProfile(name, item, known, { filter_disabled: false, adopts: false });
  if (problem) plan.conflicts.push({ line, name, reason: problem });
  else if (draft) plan.plans.push(draft);
  else plan.skips.push({ line, name, reason: `plan "${known.plans.get(name)!.plan.name}" has this profile already` });
}

export interface PoolDraft {
  line: number;
  name: string;
  ranges: string;
  size: number;
  next_pool: string | null;
  notes: string | null;
}

export interface PoolPlan extends Omit<ImportPlan, 'creates' | 'plans'> {
  pools: PoolDraft[];
}

/** `known`: ranges of the pools that this router has here already, by name. */
/** `known`: name → ranges of the router's pools. The pool of the suspended belongs to its set-up. */
export function planPools(file: ExportFile, known: ReadonlyMap<string, string>, isolir_pool: string): PoolPlan {
  const plan: PoolPlan = { pools: [], skips: [], conflicts: [], ignored: [] };
  for (const { line, props } of file.items.filter(found => found.menu === '/ip/pool')) {
    const name = props.get('name') ?? '';
    const parsed = parsePoolRanges(props.get('ranges') ?? '');
    const existing = known.get(name);
    if (typeof parsed === 'string') plan.skips.push({ line, name, reason: parsed });
    else if (name === isolir_pool)
      plan.skips.push({ line, name, reason: 'is the pool of the suspended (isolir_pool)' });
    else if (existing === parsed.ranges) plan.skips.push({ line, name, reason: 'is here already' });
    else if (existing !== undefined)
      plan.conflicts.push({
        line,
        name,
        reason: `is here already with ${existing}, and on the router with ${parsed.ranges}`,
      });
    else
      plan.pools.push({
        line,
        name,
        ...parsed,
        next_pool: props.get('next-pool') ?? null,
        notes: handwritten(props.get('comment')),
      });
  }
  return plan;
}

function handwritten(comment: string | undefined): string | null {
  const marker = readMarker(comment);
  const text = (comment ?? '').trim();
  return (marker === null ? text : text.slice(0, -marker.length).trim()) || null;
}
