// /interface/monitor-traffic: rates, once or at an interval, for a while or until it is cancelled.
import { isOn, readPropertyList, refuseUnknown } from './call.ts';
import type { Call } from './call.ts';
import { MENUS } from './menus.ts';
import { countSections, readInterval, repeat } from './reads.ts';
import type { SimulatedRouter } from './router.ts';
import type { Row } from './table.ts';
import { countPacketRate } from './traffic.ts';
import type { Flow } from './traffic.ts';
import { Trap, trapInvalidValue, trapMissing, trapNoMatch } from './trap.ts';
import { parseDuration } from './values.ts';

const WORDS = new Set(['interface', '.id', 'numbers', 'once', 'duration', 'interval', '.proplist', 'without-paging']);
const AGGREGATE = 'aggregate';

export function monitorTraffic(call: Call): void {
  const { command, router } = call;
  refuseUnknown(command, WORDS);
  const { attributes } = command;
  const given = attributes.get('interface') ?? attributes.get('.id') ?? attributes.get('numbers');
  if (given === undefined) throw trapMissing('interface');
  const targets = given.split(',').map(name => (name === AGGREGATE ? null : findInterface(router, name)));
  const interval_ms = readInterval(attributes.get('interval'));
  const duration_ms = attributes.has('duration') ? parseDuration(attributes.get('duration') ?? '') : Infinity;
  if (duration_ms === null) throw trapInvalidValue('duration');

  const table = router.table('/interface');
  const sendAll = (section: [string, string][] = []) => {
    for (const target of targets) sendRates(call, target, section);
  };
  if (isOn(attributes.get('once'))) {
    sendAll();
    return call.reply('!done');
  }
  const sendSection = countSections(sendAll);
  sendSection();
  let rounds_left = Math.ceil(duration_ms / interval_ms) - 1;
  const end = repeat(call, interval_ms, () => {
    if (targets.some(row => row !== null && table.get(row.id) === undefined)) return end(new Trap('no such item', 0));
    if (rounds_left-- <= 0) return end();
    sendSection();
  });
}

function findInterface(router: SimulatedRouter, name: string): Row {
  const menu = MENUS.get('/interface');
  try {
    const [row] = menu === undefined ? [] : router.findRows(menu, name);
    if (row !== undefined) return row;
  } catch (error) {
    if (!(error instanceof Trap)) throw error;
  }
  throw trapNoMatch('interface');
}

/** null: all interfaces together, in a record that has no name. */
function sendRates(call: Call, target: Row | null, section: [string, string][]): void {
  const rows = target === null ? [...call.router.table('/interface').all()] : [target];
  const rate: Flow = { up: 0, down: 0 };
  for (const { meter } of rows) {
    const { up, down } = meter?.read().bits_per_second ?? { up: 0, down: 0 };
    rate.up += up;
    rate.down += down;
  }
  const name: [string, string][] = target === null ? [] : [['name', target.values.get('name') ?? '']];
  const record: [string, string][] = [...name, ...describeWay('rx', rate.up), ...describeWay('tx', rate.down)];
  const wanted = readPropertyList(call.command);
  const shown = wanted === null ? record : record.filter(([field]) => wanted.includes(field));
  call.reply('!re', [...shown, ...section]);
}

function describeWay(way: 'rx' | 'tx', bits_per_second: number): [string, string][] {
  const queue_drops: [string, string][] = way === 'tx' ? [['tx-queue-drops-per-second', '0']] : [];
  return [
    [`${way}-packets-per-second`, String(countPacketRate(bits_per_second))],
    [`${way}-bits-per-second`, String(Math.round(bits_per_second))],
    [`fp-${way}-packets-per-second`, '0'],
    [`fp-${way}-bits-per-second`, '0'],
    [`${way}-drops-per-second`, '0'],
    ...queue_drops,
    [`${way}-errors-per-second`, '0'],
  ];
}
