import { z } from 'zod';
import { Id } from '../../http/fields.ts';
import { Difference } from '../../protocol/messages.ts';
import { DRIFT_STATES } from '../../provisioning/drift.ts';
import { PROVISIONING_KINDS } from './table.ts';

/** One entry of a router against what it must be. */

const State = z
  .enum(DRIFT_STATES)
  .describe(
    '`pending`: waits to be applied; `missing`, `differs`, `extra`: somebody changed it on the router; `conflict`: an ' +
      'entry of that name isn’t ours; `failed`: refused, in the router’s words.',
  );

/** What a look has found of one thing. */
export const drift_found = {
  state: State,
  error: z.string().nullable(),
  differences: z.array(Difference).describe('Of a password only that it differs.'),
};

export const DriftItem = z
  .object({
    provisioning_id: Id,
    customer_id: Id.nullable().describe('Null: it is the router’s own.'),
    customer_code: z.string().nullable(),
    full_name: z.string().nullable(),
    kind: z.enum(PROVISIONING_KINDS),
    key: z.string().describe('Its name on the router.'),
    ...drift_found,
    observed: z
      .record(z.string(), z.string())
      .nullable()
      .describe('What we manage of it, as the router has it; null: nothing is there. Never a password.'),
  })
  .meta({ id: 'DriftItem' });
