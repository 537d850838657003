// The `?` words of a print: a stack of booleans, bottomless with `true`, all of which must hold at the end.

export type Lookup = (property: string) => string | undefined;
/** Whether a property is true or false, so that `yes` and `no` may ask for it too. */
export type IsFlag = (property: string) => boolean;

type Step = (stack: boolean[], look: Lookup, isFlag: IsFlag) => void;

export interface Query {
  matches(look: Lookup, isFlag?: IsFlag): boolean;
  /** Equalities that every match fulfils, for a look-up by index. */
  equalities: readonly (readonly [property: string, value: string])[];
}

/** The words as sent, `?` included, in their order. */
export function parseQuery(words: readonly string[]): Query {
  const is_plain = words.every(word => !word.startsWith('?#'));
  const equalities = is_plain ? words.map(readEquality).filter(found => found !== null) : [];
  const steps = words.map(word => parseStep(word.slice(1)));
  return {
    equalities,
    matches: (look, isFlag = () => false) => {
      const stack: boolean[] = [];
      for (const step of steps) step(stack, look, isFlag);
      return stack.every(Boolean);
    },
  };
}

function readEquality(word: string): [string, string] | null {
  const match = /^\?=?([^=<>#-][^=]*)=([^]*)$/.exec(word);
  return match ? [match[1] ?? '', match[2] ?? ''] : null;
}

function parseStep(body: string): Step {
  const sign = body.charAt(0);
  if (sign === '#') return parseOperations(body.slice(1));
  if (sign === '-') return (stack, look) => stack.push(look(body.slice(1)) === undefined);
  if (sign === '<' || sign === '>') {
    const [property, value] = splitAtEquals(body.slice(1));
    return (stack, look) => {
      const order = compareValues(look(property), value ?? '');
      stack.push(order !== null && (sign === '<' ? order < 0 : order > 0));
    };
  }
  const [property, value] = splitAtEquals(sign === '=' ? body.slice(1) : body);
  if (value === null) return (stack, look) => stack.push(look(property) !== undefined);
  const other = FLAG_WORDS[value];
  return (stack, look, isFlag) => {
    const shown = look(property);
    stack.push(shown === value || (other !== undefined && shown === other && isFlag(property)));
  };
}

const FLAG_WORDS: Partial<Record<string, string>> = Object.assign(Object.create(null), { yes: 'true', no: 'false' });

function splitAtEquals(body: string): [property: string, value: string | null] {
  const at = body.indexOf('=');
  return at === -1 ? [body, null] : [body.slice(0, at), body.slice(at + 1)];
}

// Numbers by size, anything else as text; a property that is not there is neither more nor less.
function compareValues(left: string | undefined, right: string): number | null {
  if (left === undefined) return null;
  const numeric = /^-?\d+$/;
  if (numeric.test(left) && numeric.test(right)) {
    const [a, b] = [BigInt(left), BigInt(right)];
    return a < b ? -1 : Number(a > b);
  }
  return left < right ? -1 : Number(left > right);
}

function parseOperations(operations: string): Step {
  const tokens = [...operations.matchAll(/(\d+)(\.?)|([!&|.])/g)];
  return stack => {
    const pop = () => stack.pop() ?? true;
    for (const token of tokens) {
      const is_last = (token.index ?? 0) + token[0].length === operations.length;
      if (token[1] !== undefined) {
        const value = stack[stack.length - 1 - Number(token[1])] ?? true;
        // An index that ends the word replaces the whole stack; otherwise it pushes a copy.
        if (is_last && token[2] === '') stack.length = 0;
        stack.push(value);
      } else if (token[3] === '!') stack.push(!pop());
      else if (token[3] === '.') stack.push(stack.at(-1) ?? true);
      else {
        const [second, first] = [pop(), pop()];
        stack.push(token[3] === '&' ? first && second : first || second);
      }
    }
  };
}
