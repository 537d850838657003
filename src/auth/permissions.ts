/** Who may do what: the one table of it. Routes name a permission, never a role. */

export const ROLES = ['admin', 'operator', 'technician', 'viewer'] as const;
export type Role = (typeof ROLES)[number];

const EVERYONE: readonly Role[] = ROLES;
const OFFICE: readonly Role[] = ['admin', 'operator'];
const FIELD: readonly Role[] = ['admin', 'operator', 'technician'];
const ADMIN: readonly Role[] = ['admin'];

export const PERMISSIONS = {
  'customers:read': EVERYONE,
  'customers:write': OFFICE,
  'customers:sync': FIELD,
  'plans:read': EVERYONE,
  'plans:write': ADMIN,
  'imports:write': OFFICE,
  'routers:read': EVERYONE,
  'routers:write': ADMIN,
  'routers:live': FIELD,
  'sessions:disconnect': FIELD,
  'devices:read': EVERYONE,
  'devices:write': FIELD,
  'alerts:acknowledge': FIELD,
  'payments:read': ['admin', 'operator', 'viewer'],
  'payments:write': OFFICE,
  'payments:void': ADMIN,
  'billing:run': OFFICE,
  'tickets:read': EVERYONE,
  'monitoring:read': EVERYONE,
  'settings:read': FIELD,
  'settings:write': ADMIN,
  'jobs:read': FIELD,
  'users:write': ADMIN,
  'security:write': ADMIN,
  'audit:read': ADMIN,
} as const satisfies Record<string, readonly Role[]>;

export type Permission = keyof typeof PERMISSIONS;

export const roleMay = (role: Role, permission: Permission): boolean =>
  (PERMISSIONS[permission] as readonly Role[]).includes(role);
