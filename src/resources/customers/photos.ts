import { z } from 'zod';
import type { Context } from '../../context.ts';
import { commit, updateRow } from '../../db/commit.ts';
import { AppError, invalidField, lacks } from '../../errors.ts';
import { diffChanges } from '../../events/event.ts';
import { getCustomer } from './queries.ts';
import { customers, type CustomerRow } from './table.ts';

/** Pictures of the subscriber and the house, in R2; what they are is told by their bytes, not by their name. */

export const PhotoKind = z.enum(['photo', 'house_photo']);
type PhotoKind = z.infer<typeof PhotoKind>;

export const MOST_PHOTO_BYTES = 5 * 1024 * 1024;

const Picture = z.instanceof(File).meta({ type: 'string', format: 'binary' });

export const PhotoForm = z
  .strictObject({ photo: Picture.optional(), house_photo: Picture.optional() })
  .meta({ id: 'PhotoForm' });

const COLUMN = { photo: 'photo_key', house_photo: 'house_photo_key' } as const;

const SIGNATURES: { type: string; matches: (bytes: Uint8Array) => boolean }[] = [
  { type: 'image/jpeg', matches: bytes => startsWith(bytes, [0xff, 0xd8, 0xff]) },
  { type: 'image/png', matches: bytes => startsWith(bytes, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) },
  {
    type: 'image/webp',
    matches: bytes =>
      startsWith(bytes, [0x52, 0x49, 0x46, 0x46]) && startsWith(bytes.subarray(8), [0x57, 0x45, 0x42, 0x50]),
  },
];

const startsWith = (bytes: Uint8Array, prefix: readonly number[]) =>
  prefix.every((byte, index) => bytes[index] === byte);

/** Stores what the form holds; the picture is in R2 before the row names it, and the one before goes after that. */
export async function storePhotos(ctx: Context, id: string, form: z.output<typeof PhotoForm>): Promise<CustomerRow> {
  const customer = await getCustomer(ctx, id);
  const given = PhotoKind.options.flatMap(kind => (form[kind] ? [{ kind, file: form[kind] }] : []));
  if (given.length === 0) throw invalidField('photo', 'is required (or house_photo)');
  // all are looked at before one is stored: a refusal leaves nothing behind
  const pictures = await Promise.all(given.map(({ kind, file }) => readPicture(kind, file)));
  const patch: Partial<CustomerRow> = {};
  for (const { kind, bytes, type } of pictures) {
    const key = `tenants/${ctx.tenant.id}/customers/${customer.id}/${kind}-${ctx.newId()}`;
    await ctx.env.FILES.put(key, bytes, { httpMetadata: { contentType: type } });
    patch[COLUMN[kind]] = key;
  }
  const [[changed]] = (await commit(ctx, [updateRow(ctx, customers, customer, patch)], {
    type: 'customer.photo_stored',
    action: 'update',
    entity_id: id,
    customer_id: id,
    changes: diffChanges(customer, patch),
  })) as [[CustomerRow]];
  const old_keys = given.flatMap(({ kind }) => customer[COLUMN[kind]] ?? []);
  if (old_keys.length > 0) ctx.defer(ctx.env.FILES.delete(old_keys));
  return changed;
}

async function readPicture(kind: PhotoKind, file: File) {
  if (file.size > MOST_PHOTO_BYTES) throw new AppError('PAYLOAD_TOO_LARGE');
  const bytes = new Uint8Array(await file.arrayBuffer());
  const type = SIGNATURES.find(signature => signature.matches(bytes))?.type;
  if (!type) throw invalidField(kind, 'is not a JPEG, PNG or WebP picture');
  return { kind, bytes, type };
}

export async function getPhoto(ctx: Context, id: string, kind: PhotoKind): Promise<Response> {
  const customer = await getCustomer(ctx, id);
  const key = customer[COLUMN[kind]];
  const stored = key ? await ctx.env.FILES.get(key) : null;
  if (!stored) throw lacks('picture');
  return new Response(stored.body, {
    headers: {
      'Content-Type': stored.httpMetadata?.contentType ?? 'application/octet-stream',
      'Content-Disposition': 'inline',
      'Cache-Control': 'private, max-age=300',
      ETag: stored.httpEtag,
    },
  });
}
