/** Runs numbered SQL migrations on one database; recorded in d1_migrations as wrangler does. */

export interface Migration {
  /** `0001_people_and_events.sql` */
  name: string;
  up: string[];
  down: string[];
}

/** Statements are separated by blank lines, and the two parts by the lines `-- up` and `-- down`. */
export function parseMigration(name: string, text: string): Migration {
  const [, up, down] = /^-- up$([\s\S]*)^-- down$([\s\S]*)/m.exec(text) ?? [];
  if (up === undefined || down === undefined) throw new Error(`${name} lacks an up or a down part`);
  const split = (part: string) =>
    part
      .split(/\n\s*\n/)
      .map(statement => statement.trim())
      .filter(statement => statement !== '');
  return { name, up: split(up), down: split(down) };
}

export const schemaVersion = (migrations: readonly Migration[]): number => migrations.length;

const RECORD = `CREATE TABLE IF NOT EXISTS d1_migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT UNIQUE,
  applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)`;

async function listApplied(d1: D1Database): Promise<Set<string>> {
  const [, rows] = await d1.batch([d1.prepare(RECORD), d1.prepare('SELECT name FROM d1_migrations')]);
  return new Set((rows!.results as { name: string }[]).map(row => row.name));
}

const record = (d1: D1Database, name: string) => d1.prepare('INSERT INTO d1_migrations (name) VALUES (?)').bind(name);

/**
 * Applies what is missing: to a database that is new all at once, in one round trip, since somebody waits for it; to
 * one that holds data each migration whole or not at all. When another caller was faster its record makes ours fail as
 * a whole, and we look again: however many come at once, each migration runs once.
 */
export async function bringUp(d1: D1Database, migrations: readonly Migration[]): Promise<number> {
  let applied = await listApplied(d1);
  for (;;) {
    const missing = migrations.filter(({ name }) => !applied.has(name));
    if (missing.length === 0) return schemaVersion(migrations);
    const step = applied.size === 0 ? missing : missing.slice(0, 1);
    try {
      await d1.batch(step.flatMap(({ name, up }) => [record(d1, name), ...up.map(statement => d1.prepare(statement))]));
      applied = new Set([...applied, ...step.map(({ name }) => name)]);
    } catch (error) {
      const before = applied.size;
      applied = await listApplied(d1);
      if (applied.size <= before) throw error;
    }
  }
}

/** Takes back all migrations above `to_version`, the newest first. Data of what they made is gone. */
export async function bringDown(d1: D1Database, migrations: readonly Migration[], to_version: number): Promise<number> {
  const applied = await listApplied(d1);
  for (const migration of migrations.slice(to_version).reverse()) {
    if (!applied.has(migration.name)) continue;
    const forget = d1.prepare('DELETE FROM d1_migrations WHERE name = ?').bind(migration.name);
    await d1.batch([...migration.down.map(statement => d1.prepare(statement)), forget]);
  }
  return to_version;
}
