/** What printing the secrets of one router costs, by the connection's own counters, against the simulated router. */
import { readRows } from '../apply/read-rows.ts';
import { SECRET_PROPERTIES } from '../apply/works.ts';
import { TABLES } from '../read/columns.ts';
import { RouterConnection } from '../routeros/connection.ts';
import { startSimulator } from '../simulator/server.ts';

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
  const measure = async (what: string, print: () => Promise<{ size: number } | unknown[]>): Promise<PrintCost> => {
    const before = { commands: connection.commands_sent, bytes: connection.bytes_received, ms: performance.now() };
    const printed = await print();
    return {
      what,
      rows: Array.isArray(printed) ? printed.length : (printed as { size: number }).size,
      commands: connection.commands_sent - before.commands,
      bytes: connection.bytes_received - before.bytes,
      took_ms: Math.round(performance.now() - before.ms),
    };
  };
  try {
    const menu = '/ppp/secret';
    await connection.print(menu);
    const proplist = TABLES.secrets.columns;
    return [
      await measure('all properties', () => connection.print(menu)),
      await measure('what an import reads', () => connection.print(menu, { proplist })),
      await measure('what an apply compares', () => readRows(connection, menu, names, SECRET_PROPERTIES)),
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
