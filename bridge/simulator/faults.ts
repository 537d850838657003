/** What can be made to go wrong; all of it may be switched while connections are open. */
export interface Faults {
  /** Answers leave in pieces of this many bytes; 0: as they are. */
  chunk_bytes: number;
  /** Each command is carried out and answered this much later. */
  delay_ms: number;
  /** New connections are taken and then never answered. */
  silent_after_accept: boolean;
  /** New connections are reset at once. */
  refuse: boolean;
  /** So many writes are done, and the connection closed before the answer; counts down to 0. */
  close_after_write: boolean | number;
  /** Connections beyond it are closed at once; RouterOS has 20. */
  max_sessions: number;
  read_only_user: boolean;
  /** The user lacks the `sensitive` policy: passwords are not sent. */
  no_sensitive: boolean;
  /** The router's clock is ahead by so much, or behind; its uptimes are right. */
  clock_skew_seconds: number;
  /** Text goes out as windows-1252 where it can be, and what comes in is taken for it. */
  windows_1252: boolean;
  /** A reboot refuses connections for so long. */
  down_ms: number;
}

export const NO_FAULTS: Readonly<Faults> = {
  chunk_bytes: 0,
  delay_ms: 0,
  silent_after_accept: false,
  refuse: false,
  close_after_write: false,
  max_sessions: 20,
  read_only_user: false,
  no_sensitive: false,
  clock_skew_seconds: 0,
  windows_1252: false,
  down_ms: 1_000,
};

const MAX_COUNT = 3_600_000;
const MAX_SKEW_SECONDS = 315_360_000;

/** The faults named in a request from outside; throws with a reason a person can act on. */
export function readFaults(input: unknown): Partial<Faults> {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw new TypeError('send a JSON object of faults');
  const faults: Record<string, number | boolean> = {};
  for (const [name, value] of Object.entries(input)) {
    const usual = Object.hasOwn(NO_FAULTS, name) ? NO_FAULTS[name as keyof Faults] : undefined;
    if (usual === undefined)
      throw new TypeError(`no such fault: ${name}; there are ${Object.keys(NO_FAULTS).join(', ')}`);
    const [least, most] = name === 'clock_skew_seconds' ? [-MAX_SKEW_SECONDS, MAX_SKEW_SECONDS] : [0, MAX_COUNT];
    const is_count = typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
    const is_fit = typeof usual === 'number' ? is_count : typeof value === 'boolean';
    if (!is_fit && !(name === 'close_after_write' && is_count)) {
      throw new TypeError(`${name} must be ${typeof usual === 'number' ? 'a whole number' : 'true or false'}`);
    }
    faults[name] = value as number | boolean;
  }
  return faults;
}
