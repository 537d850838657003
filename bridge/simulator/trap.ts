/** What the router answers instead of doing as told; the session sends it as `!trap`. */
export class Trap extends Error {
  readonly category: number | null;
  /** The parameter at fault, where it is one. */
  readonly field: string | null;

  constructor(message: string, category: number | null = null, field: string | null = null) {
    super(message);
    this.field = field;
    this.name = 'Trap';
    this.category = category;
  }
}

export const MISSING = 0;
export const BAD_ARGUMENT = 1;
export const INTERRUPTED = 2;

export const trapInvalidValue = (field: string) => new Trap(`invalid value for argument ${field}`, BAD_ARGUMENT, field);
export const trapNoMatch = (field: string) =>
  new Trap(`input does not match any value of ${field}`, BAD_ARGUMENT, field);
export const trapUnknownParameter = (field: string) => new Trap(`unknown parameter ${field}`, BAD_ARGUMENT, field);
export const trapMissing = (field: string) => new Trap(`missing =${field}=`, null, field);
export const trapNoSuchCommand = () => new Trap('no such command', MISSING);
export const trapNoSuchPrefix = () => new Trap('no such command prefix', MISSING);

export const trapReadOnlyRow = (what: string) => new Trap(`failure: can not ${what}`);
export const trapInterrupted = () => new Trap('interrupted', INTERRUPTED);
export const trapNoPermission = () => new Trap('not enough permissions (9)');
