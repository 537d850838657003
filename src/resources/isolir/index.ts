import { z } from 'zod';
import { hashSecret } from '../../auth/tokens.ts';
import type { Context } from '../../context.ts';
import { endpoint } from '../../http/endpoint.ts';
import { line, Phone } from '../../http/fields.ts';
import type { HtmlPage } from '../../http/page.ts';
import type { Resource } from '../../http/resource.ts';
import { languageOf, showBill, showRefusal, showStart } from './page.ts';
import { readBill, readProvider, type Typed } from './queries.ts';
import { foldCode, phoneTail } from './rules.ts';
import { LANGUAGES } from './words.ts';

/** The page of the suspended: what is owed and how to pay, for a phone that reaches nothing else. */

const Params = z.strictObject({ tenant: z.string().describe('Slug or id of the provider.') });

const Language = z.strictObject({
  lang: z.enum(LANGUAGES).optional().describe('Default: the provider’s own language.'),
});

const LookUp = z.strictObject({ customer_code: line(40), phone: Phone }).meta({ id: 'IsolirLookUp' });

const MINUTE_MS = 60_000;
const POLICY = 'isolir';
/** All tries, also right ones. Whole streets sit behind one address. */
const BY_ADDRESS = { most: 60, window_ms: MINUTE_MS };
/** Codes are handed out in a row: the phone is what a stranger doesn't know, so few may be tried for one code… */
const BY_CODE = { most: 5, window_ms: 10 * MINUTE_MS };
/** …and few codes for one phone, which neighbours know. */
const BY_PHONE = { most: 10, window_ms: 10 * MINUTE_MS };

/** A try counts as wrong until it turned out right: of many at once none slips through. What is refused reads nothing. */
async function lookUp(ctx: Context, typed: Typed) {
  const { admission } = ctx;
  const wrong = [
    {
      policy: POLICY,
      subject: `code ${await hashSecret(foldCode(typed.customer_code))}`,
      limit: BY_CODE,
      is_kept: true,
    },
    { policy: POLICY, subject: `phone ${await hashSecret(phoneTail(typed.phone))}`, limit: BY_PHONE, is_kept: true },
  ];
  // tries that are refused for their code or phone are tries as well
  await admission.count([{ policy: POLICY, subject: admission.caller.address, limit: BY_ADDRESS }]);
  const counted_at = await admission.count(wrong);
  const found = await readBill(ctx, typed);
  if (found.bill) await admission.giveBack(wrong, counted_at);
  return found;
}

const DESCRIPTION = `Where the walled garden leads: a page for people, without script or cookies; refusals are pages too.`;

export const isolirResource: Resource = {
  path: '/isolir',
  routes: {
    'GET /:tenant': endpoint({
      id: 'isolir.show',
      summary: 'The page of the suspended: how to pay, and a form that asks what is owed',
      description: DESCRIPTION,
      needs: 'public',
      tenantOf: 'path',
      params: Params,
      query: Language,
      returns: { html: showRefusal },
      run: async (ctx, { query }) => showStart(await readProvider(ctx), languageOf(ctx.tenant, query.lang)),
    }),
    'POST /:tenant': endpoint({
      id: 'isolir.lookUp',
      summary: 'The page with what a customer owes, by customer code and phone',
      description:
        `${DESCRIPTION} A code and phone that don’t belong together, for whatever reason, give the page that says so, with 200. ` +
        'At most 60 tries a minute from one address; of wrong ones 5 in 10 minutes for one code, 10 for one phone.',
      needs: 'public',
      tenantOf: 'path',
      params: Params,
      query: Language,
      body: LookUp,
      accepts: 'form',
      most_bytes: 16 * 1024,
      returns: { html: showRefusal },
      run: async (ctx, { query, body }): Promise<HtmlPage> => {
        const { provider, bill } = await lookUp(ctx, body);
        return showBill(provider, bill, {
          language: languageOf(ctx.tenant, query.lang),
          currency: ctx.tenant.currency,
        });
      },
    }),
  },
};
