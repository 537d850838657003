import { invalidField, invalidTransition } from '../../errors.ts';
import type { CustomerRow } from './table.ts';
import { SUSPENSION_REASONS } from './table.ts';

/** What may become of a customer. Pure: the present row and today's date in, the changed columns out. */

export interface Moment {
  /** The business date that the caller names, or today. */
  date: string;
  today: string;
  reason?: string;
}

type Patch = Partial<CustomerRow>;
type Status = CustomerRow['status'];

const WORDS: Record<Status, string> = {
  pending_activation: 'waiting for activation',
  active: 'active',
  suspended: 'suspended',
  terminated: 'terminated',
};

function mustBe(customer: CustomerRow, allowed: readonly Status[], doing: string): void {
  if (allowed.includes(customer.status)) return;
  throw invalidTransition(`A customer who is ${WORDS[customer.status]} can’t be ${doing}.`);
}

function notInFuture({ date, today }: Moment): void {
  if (date > today) throw invalidField('date', 'is in the future');
}

/** A PPPoE line that is up on a router has a name there. */
export function checkLineNamed(customer: CustomerRow): void {
  const is_up = customer.status === 'active' || customer.status === 'suspended';
  if (is_up && customer.connection_type === 'pppoe' && customer.router_id && !customer.pppoe_username)
    throw invalidField('pppoe_username', 'is required for a line on a router');
}

export function activate(customer: CustomerRow, moment: Moment, plan: { price: number | null }): Patch {
  mustBe(customer, ['pending_activation'], 'activated');
  if (plan.price === null) throw invalidField('service_plan_id', 'names a plan without a price');
  notInFuture(moment);
  checkLineNamed({ ...customer, status: 'active' });
  return { status: 'active', status_since: moment.date, activation_date: moment.date };
}

/** Who is suspended as `overdue` is resumed by paying, and no other. */
export function suspend(customer: CustomerRow, moment: Moment): Patch {
  mustBe(customer, ['active'], 'suspended');
  notInFuture(moment);
  const named = SUSPENSION_REASONS.find(reason => reason === moment.reason);
  return { status: 'suspended', status_since: moment.date, suspension_reason: named ?? 'manual' };
}

export function resume(customer: CustomerRow, moment: Moment): Patch {
  mustBe(customer, ['suspended'], 'resumed');
  notInFuture(moment);
  return { status: 'active', status_since: moment.date, suspension_reason: null };
}

export function terminate(customer: CustomerRow, moment: Moment): Patch {
  mustBe(customer, ['pending_activation', 'active', 'suspended'], 'terminated');
  notInFuture(moment);
  return {
    status: 'terminated',
    status_since: moment.date,
    suspension_reason: null,
    termination_date: moment.date,
    termination_reason: moment.reason ?? null,
  };
}

export function reactivate(customer: CustomerRow, moment: Moment): Patch {
  mustBe(customer, ['terminated'], 'reactivated');
  notInFuture(moment);
  return {
    status: 'pending_activation',
    status_since: moment.date,
    activation_date: null,
    termination_date: null,
    termination_reason: null,
  };
}

export function remove(customer: CustomerRow): void {
  mustBe(customer, ['pending_activation', 'terminated'], 'deleted');
}

/** The fee follows the plan, unless somebody agreed on another one. */
export function changePlan(
  customer: CustomerRow,
  from: { price: number | null },
  to: { id: string; price: number | null },
): Patch {
  mustBe(customer, ['pending_activation', 'active', 'suspended'], 'put on another plan');
  const monthly_fee = customer.monthly_fee === from.price ? to.price : customer.monthly_fee;
  return { service_plan_id: to.id, monthly_fee };
}

/** A plan that somebody may be put on: offered, and with a price to bill. */
export function checkPlanOffered(plan: { is_active: boolean; price: number | null }): void {
  if (!plan.is_active) throw invalidField('service_plan_id', 'names a plan that is switched off');
  if (plan.price === null) throw invalidField('service_plan_id', 'names a plan without a price');
}

/** Its line comes to need an address of a pool that it didn't need before. */
export function takesAddress(before: CustomerRow, after: CustomerRow): boolean {
  const needs = ({ status, connection_type, router_id, static_ip }: CustomerRow) =>
    (status === 'active' || status === 'suspended') && connection_type === 'pppoe' && router_id !== null && !static_ip;
  const moves = before.router_id !== after.router_id || before.service_plan_id !== after.service_plan_id;
  return needs(after) && (!needs(before) || moves);
}

/** It has an address on a router that it didn't have before, or had no more. An ended line needs none. */
export function comesToAddress(before: CustomerRow, after: CustomerRow): boolean {
  const is_another = before.static_ip !== after.static_ip || before.router_id !== after.router_id;
  return after.status !== 'terminated' && (is_another || before.status === 'terminated');
}

type LinePlan = { shaping: 'profile' | 'simple_queue'; is_unlimited: boolean };

const isLine = ({ status, router_id, connection_type }: CustomerRow): boolean =>
  (status === 'active' || status === 'suspended') && router_id !== null && connection_type !== 'hotspot';

/** Why its line could not be brought to the router; null where it can. */
function findLineProblem(customer: CustomerRow, plan: LinePlan): string | null {
  const { static_ip, connection_type } = customer;
  if (!isLine(customer)) return null;
  if (static_ip === null && plan.shaping === 'simple_queue' && !plan.is_unlimited)
    return 'is required: the plan’s simple queue holds on to the address';
  if (connection_type !== 'static') return null;
  if (static_ip === null) return 'is required: a static line is known by its address';
  return static_ip.includes(':') ? 'is IPv6: a static line can be suspended by an IPv4 address only' : null;
}

/** A line that lacks something already is not kept from being suspended, resumed or ended. */
export function checkLine(before: [CustomerRow, LinePlan], after: [CustomerRow, LinePlan]): void {
  const problem = findLineProblem(...after);
  if (problem !== null && findLineProblem(...before) !== problem) throw invalidField('static_ip', problem);
}
