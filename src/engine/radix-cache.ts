interface RadixNode {
  /** Tokens on the edge from the parent, and the pool slot of each. */
  tokens: Int32Array;
  slots: Int32Array;
  parent: RadixNode | undefined;
  readonly children: Map<number, RadixNode>;
  /** Requests that use this node or one below it: such a node is not evicted. */
  locks: number;
  lastUse: number;
  /** Of a root: what its sequences are kept apart by. */
  readonly key?: string;
}

/** A place in the tree, to be locked while a request reads the slots above it. */
export type CachePosition = Readonly<RadixNode>;

export interface PrefixMatch {
  /** Slots of the tokens that are cached, in order. */
  readonly slots: Int32Array;
  readonly position: CachePosition;
}

function node(tokens: Int32Array, slots: Int32Array, parent: RadixNode | undefined, lastUse: number): RadixNode {
  return { tokens, slots, parent, children: new Map(), locks: 0, lastUse };
}

function commonLength(a: Int32Array, b: Int32Array): number {
  const length = Math.min(a.length, b.length);
  let same = 0;
  while (same < length && a[same] === b[same]) same++;
  return same;
}

function concat(parts: readonly Int32Array[]): Int32Array {
  const joined = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** A root without anything below it. */
function emptyRoot(key: string): RadixNode {
  return { ...node(new Int32Array(), new Int32Array(), undefined, 0), key };
}

/**
 * Prefix cache: radix trees over token ids, one for each `extra_key` of requests, whose edges name the key-value slots of their tokens (page size
 * 1). What is not locked can be evicted, least recently used leaves first. The cache owns the slots it holds; eviction hands them back through
 * `release`.
 */
export class RadixCache {
  readonly #release: (slots: Int32Array) => void;
  /** Only those with something below them. */
  readonly #roots = new Map<string, RadixNode>();
  #clock = 0;
  #size = 0;
  #locked = 0;

  constructor(release: (slots: Int32Array) => void) {
    this.#release = release;
  }

  /** Tokens held. */
  get size(): number {
    return this.#size;
  }

  /** Tokens that could be evicted now. */
  get evictable(): number {
    return this.#size - this.#locked;
  }

  /** The longest cached prefix of `ids` among sequences of this key. */
  match(ids: Int32Array, key = ''): PrefixMatch {
    const parts: Int32Array[] = [];
    let at = this.#roots.get(key) ?? emptyRoot(key);
    let rest = ids;
    const now = ++this.#clock;
    for (;;) {
      at.lastUse = now;
      const child = rest.length === 0 ? undefined : at.children.get(rest[0] ?? 0);
      if (!child) break;
      const same = commonLength(child.tokens, rest);
      at = same < child.tokens.length ? this.#splitAt(child, same) : child;
      parts.push(at.slots);
      rest = rest.subarray(same);
    }
    return { slots: concat(parts), position: at };
  }

  /**
   * Adds a sequence. Returns how many of its first tokens were there already: the cache kept its own slots for those and took over
   * the caller's for the others, so the caller still owns `slots[0..known)`.
   */
  insert(ids: Int32Array, slots: Int32Array, key = ''): number {
    const { slots: cached, position } = this.match(ids, key);
    const known = cached.length;
    if (known < ids.length) {
      const parent: RadixNode = position;
      if (!parent.parent) this.#roots.set(key, parent);
      const leaf = node(ids.slice(known), slots.slice(known), parent, this.#clock);
      parent.children.set(ids[known] ?? 0, leaf);
      this.#size += ids.length - known;
    }
    return known;
  }

  /** Keeps everything from the root to `position` until unlocked as often. */
  lock(position: CachePosition): void {
    for (let at: RadixNode = position; at.parent; at = at.parent) {
      if (at.locks++ === 0) this.#locked += at.tokens.length;
    }
  }

  unlock(position: CachePosition): void {
    for (let at: RadixNode = position; at.parent; at = at.parent) {
      if (--at.locks === 0) this.#locked -= at.tokens.length;
    }
  }

  /** Evicts least recently used leaves until `count` tokens are free or nothing is left to evict; returns how many it freed. */
  evict(count: number): number {
    let freed = 0;
    const leaves = this.#evictableLeaves();
    while (freed < count) {
      const leaf = leaves.pop();
      if (!leaf?.parent) break;
      freed += leaf.tokens.length;
      this.#size -= leaf.tokens.length;
      this.#release(leaf.slots);
      const { parent } = leaf;
      parent.children.delete(leaf.tokens[0] ?? 0);
      if (parent.children.size > 0 || parent.locks > 0) continue;
      if (parent.parent) insertByAge(leaves, parent);
      else this.#roots.delete(parent.key ?? '');
    }
    return freed;
  }

  /** Drops everything. Only sound while nothing is locked. */
  clear(): void {
    this.evict(this.size);
    this.#roots.clear();
  }

  /** Splits a child's edge after `count` tokens and returns the upper part. */
  #splitAt(child: RadixNode, count: number): RadixNode {
    const upper = node(child.tokens.slice(0, count), child.slots.slice(0, count), child.parent, child.lastUse);
    upper.locks = child.locks;
    upper.parent?.children.set(upper.tokens[0] ?? 0, upper);
    child.tokens = child.tokens.slice(count);
    child.slots = child.slots.slice(count);
    child.parent = upper;
    upper.children.set(child.tokens[0] ?? 0, child);
    return upper;
  }

  /** Oldest last. */
  #evictableLeaves(): RadixNode[] {
    const leaves: RadixNode[] = [];
    const stack = [...this.#roots.values()].flatMap(({ children }) => [...children.values()]);
    for (let at = stack.pop(); at; at = stack.pop()) {
      if (at.locks > 0 || at.children.size > 0) stack.push(...at.children.values());
      else leaves.push(at);
    }
    return leaves.sort((a, b) => b.lastUse - a.lastUse);
  }
}

function insertByAge(leaves: RadixNode[], leaf: RadixNode): void {
  const at = leaves.findIndex((other) => other.lastUse <= leaf.lastUse);
  leaves.splice(at === -1 ? leaves.length : at, 0, leaf);
}
