/** Money against dues: pure. */

export interface OpenDue {
  id: string;
  amount: number;
}

/** Money that can be used: a receipt with something of it left. */
export interface Source {
  receipt_id: string;
  amount: number;
}

/** That much of a due is settled from that receipt; the last part of it may settle it as a whole. */
export interface Part {
  payment_id: string;
  receipt_id: string;
  amount: number;
  settles: boolean;
}

/**
 * Spreads money over dues in the order given, each source until it is used up. Each part is of one due and one receipt,
 * so that what a receipt paid can be told, and taken back, by itself.
 */
export function spread(dues: readonly OpenDue[], sources: readonly Source[]): Part[] {
  const left = sources.map(source => ({ ...source }));
  const parts: Part[] = [];
  for (const due of dues) {
    let open = due.amount;
    for (const source of left) {
      const amount = Math.min(open, source.amount);
      if (amount === 0) continue;
      open -= amount;
      source.amount -= amount;
      parts.push({ payment_id: due.id, receipt_id: source.receipt_id, amount, settles: open === 0 });
    }
    if (open > 0) break;
  }
  return parts;
}

/** Past its date, whether or not the daily job has said so yet. */
export const isOverdue = (due: { status: string; due_date: string }, today: string): boolean =>
  due.status === 'overdue' || (due.status === 'pending' && due.due_date < today);

/** Whose line was cut for dues of which none is left that is past its date. */
export const mayResume = (
  customer: { status: string; suspension_reason: string | null },
  open_dues: readonly { status: string; due_date: string }[],
  today: string,
): boolean =>
  customer.status === 'suspended' &&
  customer.suspension_reason === 'overdue' &&
  !open_dues.some(due => isOverdue(due, today));
