interface Entry {
  readonly value: object;
  /** Stands for the value in the text of whatever holds it. */
  readonly id: number;
  /** Asked for again since the last sweep. */
  used: boolean;
}

/** What is larger is hardly ever equal to something else, and its text would cost what sharing saves. */
const maxTextLength = 1024;

/**
 * The same frozen object for equal parts of JSON: what controllers make from one template differs in names, and is equal in nearly all the rest.
 * A cache of thousands would else keep as many copies.
 */
export class SharedParts {
  readonly #limit: number;
  readonly #entries = new Map<string, Entry>();
  #made = 0;

  /** @param limit - parts that are known at a time: of more than that, those that nobody asked for again are forgotten */
  constructor(limit = 4096) {
    this.#limit = limit;
  }

  /**
   * A part that equals `part`: an earlier one, or itself. Freezes it and everything in it, in which equal parts are replaced by earlier ones.
   * What is frozen already is taken as it is.
   */
  of<T>(part: T): T {
    // equal text means equal content, hence the same type
    return isObject(part) ? (this.#shared(part).value as T) : part;
  }

  #shared(part: Record<string, unknown>): { readonly value: object; readonly id: number | undefined } {
    if (Object.isFrozen(part)) return { value: part, id: undefined };
    const text = this.#textOf(part);
    Object.freeze(part);
    if (text === undefined) return { value: part, id: undefined };
    const known = this.#entries.get(text);
    if (known) {
      known.used = true;
      return known;
    }
    if (this.#entries.size >= this.#limit) this.#sweep();
    const entry = { value: part, id: ++this.#made, used: false };
    this.#entries.set(text, entry);
    return entry;
  }

  /** Replaces the parts of an object. Returns its content, the parts by their ids; undefined when it is too long, or holds what is not shared. */
  #textOf(part: Record<string, unknown>): string | undefined {
    let text: string | undefined = Array.isArray(part) ? '[' : '{';
    for (const field of Object.keys(part)) {
      const value = part[field];
      let word: string | undefined;
      if (isObject(value)) {
        const { value: same, id } = this.#shared(value);
        if (same !== value) part[field] = same;
        word = id === undefined ? undefined : `#${id}`;
      } else if (typeof value !== 'string') word = String(value);
      else if (value.length <= maxTextLength) word = JSON.stringify(value);
      // the rest of the parts are still to be replaced
      if (text !== undefined) text = word === undefined ? undefined : `${text}${JSON.stringify(field)}:${word},`;
    }
    return text !== undefined && text.length <= maxTextLength ? text : undefined;
  }

  #sweep(): void {
    for (const [text, entry] of this.#entries) {
      if (entry.used) entry.used = false;
      else this.#entries.delete(text);
    }
    // all of them are in use: make room all the same
    if (this.#entries.size > this.#limit / 2) this.#entries.clear();
  }
}

/** Of all caches of the process. */
export const sharedParts = new SharedParts();

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
