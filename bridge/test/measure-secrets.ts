/** What printing the secrets of one router costs, by the connection's own counters, against the simulated router. */
import { readRows } from '../apply/read-rows.ts';
import { TABLES } from '../read/columns.ts';
import { RouterConnection } from '../routeros/connection.ts';
import { startSimulator } from '../simulator/server.ts';
import { makeItem } from './bridge-client.ts';

export interface PrintCost {
  what: string;
  rows: number;
  commands: number;
  bytes: number;
  took_ms: number;
}

export async function measureSecretPrints(secrets = 2000): Promise<PrintCost[]> {
  const password = 'measure';
  const simulator = await startSimulator({ port: 0, username: 'rukun', password });
  const names = Array.from({ length: secrets }, (_, at) => `pelanggan-${String(at).padStart(5, '0')}`);
  const lines = names.map(
    (name, at) => `add name=${name} password=rahasia-${at} service=pppoe comment="rukun:C-${at}"`,
  );
  simulator.router.load(`/ppp secret\n${lines.join('\n')}\n`);
  const connection = await RouterConnection.open({
    host: '127.0.0.1',
    port: simulator.port,
    username: 'rukun',
    password,
  });
  const measure = async (what: string, print: () => Promise<unknown[]>): Promise<PrintCost> => {
    const before = { commands: connection.commands_sent, bytes: connection.bytes_received, ms: performance.now() };
    const printed = await print();
    return {
      what,
      rows: printed.length,
      commands: connection.commands_sent - before.commands,
      bytes: connection.bytes_received - before.bytes,
      took_ms: Math.round(performance.now() - before.ms),
    };
  };
  try {
    const menu = '/ppp/secret';
    await connection.print(menu);
    const proplist = TABLES.secrets.columns;
    // as the Worker asks for them: profile, whether it is disabled, and an address
    const entries = names.map(name => makeItem(name, { desired: { remote_address: '10.0.0.5' } }));
    const readAll = async () => [...(await readRows(connection, 'ppp_secret', entries)).rows];
    return [
      await measure('all properties', () => connection.print(menu)),
      await measure('what an import reads', () => connection.print(menu, { proplist })),
      await measure('what an apply compares', readAll),
      await measure('one, by its name', () => connection.print(menu, { proplist, query: [`?name=${names[0]}`] })),
      await measure('how many', () => connection.print(menu, { count_only: true })),
    ];
  } finally {
    await connection.close();
    await simulator.stop();
  }
}

if (process.argv[1] === import.meta.filename) {
  for (const cost of await measureSecretPrints()) process.stdout.write(`${JSON.stringify(cost)}\n`);
}
