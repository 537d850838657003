import type { Schemas } from '../../client/index.ts';
import type { Permission } from '../../src/auth/permissions.ts';
import type { Session } from './session.ts';

/** What the board shows, where each figure is read, and which events say that it may have changed. */

export interface RouterRow {
  id: string;
  name: string;
  status: 'online' | 'offline' | 'unknown';
  last_error: string | null;
}

export interface Shown {
  customers: Schemas['CustomerStats'];
  money: Schemas['PaymentStats'];
  alerts: { open: number; acknowledged: number };
  routers: { rows: RouterRow[]; total: number };
  jobs: Schemas['Job'][];
}

export type FigureName = keyof Shown;

interface Source<T> {
  needs: Permission;
  /** What comes before the colon in the names of its events. */
  woken_by: readonly string[];
  read: (session: Session) => Promise<T>;
}

const countAlerts = async (session: Session, status: string): Promise<number> =>
  (await session.list(`/monitoring/alerts?status=${status}&per_page=1`)).total;

export const SOURCES: { [Name in FigureName]: Source<Shown[Name]> } = {
  customers: {
    needs: 'customers:read',
    woken_by: ['customer'],
    read: session => session.get('/customers/stats'),
  },
  money: {
    needs: 'payments:read',
    woken_by: ['payment', 'invoice', 'receipt'],
    read: session => session.get('/payments/stats'),
  },
  alerts: {
    needs: 'monitoring:read',
    woken_by: ['alert'],
    read: async session => {
      const [open, acknowledged] = await Promise.all([
        countAlerts(session, 'open'),
        countAlerts(session, 'acknowledged'),
      ]);
      return { open, acknowledged };
    },
  },
  routers: {
    needs: 'routers:read',
    woken_by: ['router', 'bridge'],
    read: session => session.list('/routers?per_page=100&fields=id,name,status,last_error'),
  },
  jobs: {
    needs: 'jobs:read',
    woken_by: ['job'],
    read: async session => (await session.list<Schemas['Job']>('/jobs?per_page=10')).rows,
  },
};

export const FIGURE_NAMES = Object.keys(SOURCES) as FigureName[];
