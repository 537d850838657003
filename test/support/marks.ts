import { fieldsOf, nameOf } from './contract.ts';
import type { Route } from '../../src/http/resource.ts';

/** Values that are known again wherever they turn up, and say where they were given. */

/** Every value of every table, as text. */
export async function dumpAsText(d1: D1Database): Promise<string> {
  const tables = await d1.prepare("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE '\\_cf%' ESCAPE '\\'").all<{ name: string }>(); // prettier-ignore
  const results = await d1.batch(tables.results.map(({ name }) => d1.prepare(`SELECT * FROM "${name}"`)));
  const text = (value: unknown) =>
    Array.isArray(value) || value instanceof ArrayBuffer
      ? new TextDecoder().decode(new Uint8Array(value as number[]))
      : value;
  return JSON.stringify(
    results.map(({ results: rows }) => (rows as Record<string, unknown>[]).map(row => Object.values(row).map(text))),
  );
}

export const base64 = (text: string) => btoa(text).replace(/=+$/, '');
export const hex = (text: string) =>
  Array.from(text, char => char.charCodeAt(0).toString(16).padStart(2, '0')).join('');

/** Told by no human and no other test; six letters, so that base64 shows them too. */
const CORE = 'zq7xk9';
const FORMS = new RegExp(`${CORE}[a-z0-9]{12}|${base64(CORE)}|${hex(CORE)}|877123\\d{7}|9988776\\d{9}`, 'g');

/** `secret` is nowhere in clear; `private` is somebody's, and where it is meant to be. */
export type Kind = 'secret' | 'private';

export class Marks {
  readonly #given = new Map<string, { kind: Kind; where: string }>();
  /** Secrets that we made ourselves, and gave once. */
  readonly #made = new Set<string>();

  make(kind: Kind, where: string): string {
    return this.#note(`${CORE}${crypto.randomUUID().replaceAll('-', '').slice(0, 12)}`, kind, where);
  }

  /** A telephone number; what is looked for is what both its forms hold. */
  makePhone(where: string): string {
    return `0${this.#note(`877123${digits(7)}`, 'private', where)}`;
  }

  makeNik(where: string): string {
    return this.#note(`9988776${digits(9)}`, 'private', where);
  }

  noteMade(secret: string): void {
    this.#made.add(secret.split('.').at(-1)!);
  }

  /** Where what stands in the text was given; a form that isn't told apart is named by itself. */
  find(text: string, kind?: Kind): string[] {
    const found = [...text.matchAll(FORMS)].flatMap(([form]) => {
      const known = this.#given.get(form);
      return kind && known && known.kind !== kind ? [] : [known ? `${known.kind}: ${known.where}` : `a form: ${form}`];
    });
    return [...new Set(found)];
  }

  findMade(text: string): string[] {
    return [...this.#made].filter(secret => text.includes(secret));
  }

  #note(mark: string, kind: Kind, where: string): string {
    this.#given.set(mark, { kind, where });
    return mark;
  }
}

const digits = (length: number) =>
  Array.from(crypto.getRandomValues(new Uint8Array(length)), byte => byte % 10).join('');

const kindOf = (field: string): Kind => (/password|secret|token|key$/.test(field) ? 'secret' : 'private');

/** A route's body with a mark in each field that takes one. */
export function markBody(route: Route, base: Record<string, unknown>, marks: Marks): Record<string, unknown> {
  const { body } = route.endpoint.definition;
  const marked = { ...base };
  // a provider's slug is its name to the world, and to the log
  for (const { name } of fieldsOf(route).filter(field => field.name !== 'slug')) {
    const where = `${nameOf(route)} ${name}`;
    const mark = () => marks.make(kindOf(name), where);
    const forms = [
      mark,
      () => `${mark()}@x.example`,
      () => `https://${mark()}.example`,
      () => `${mark()}.example`,
      () => marks.makePhone(where),
      () => marks.makeNik(where),
      () => [mark()],
      () => ({ blok: mark() }),
    ];
    const fitting = forms.map(form => form()).find(value => body!.safeParse({ ...marked, [name]: value }).success);
    if (fitting !== undefined) marked[name] = fitting;
  }
  return marked;
}

/** The same fields with a mark where it doesn't fit: in another form each, too long, under a name that isn't one. */
export function misplaceMarks(route: Route, base: Record<string, unknown>, marks: Marks): string[] {
  const names = fieldsOf(route).map(({ name }) => name);
  const mark = (name: string) => marks.make(kindOf(name), `${nameOf(route)} ${name}, misplaced`);
  const all = (form: (mark: string) => unknown) => Object.fromEntries(names.map(name => [name, form(mark(name))]));
  return [
    ...[all(it => [it]), all(it => ({ it })), all(it => `${it}${'x'.repeat(5000)}`), all(it => ` ${it}\n\0`)].map(
      body => JSON.stringify({ ...base, ...body }),
    ),
    JSON.stringify({ ...base, unknown: mark('password') }),
    `{"password": "${mark('password')}`,
    `<${mark('password')}`,
    JSON.stringify(mark('password')),
    JSON.stringify([mark('password')]),
  ];
}
