/** Rows that one request may put into a batch while others wait. */
const fairRows = 16;

/** Rows of one request, in order; those before `taken` have been taken already. */
interface Entry<Request> {
  readonly request: Request;
  readonly rows: number;
  taken: number;
}

/** Part of a request's rows: `from` inclusive, `to` exclusive. */
export interface RowSlice<Request> {
  readonly request: Request;
  readonly from: number;
  readonly to: number;
}

/** Rows waiting to be scored. Requests are served in the order of their arrival; none holds up the others with a long block. */
export class RowQueue<Request> {
  #entries: Entry<Request>[] = [];
  #rows = 0;

  /** Rows waiting. */
  get rows(): number {
    return this.#rows;
  }

  add(request: Request, rows: number): void {
    if (rows === 0) return;
    this.#entries.push({ request, rows, taken: 0 });
    this.#rows += rows;
  }

  /** Drops what still waits of these requests. */
  drop(requests: ReadonlySet<Request>): void {
    this.#entries = this.#entries.filter(({ request, rows, taken }) => {
      if (!requests.has(request)) return true;
      this.#rows -= rows - taken;
      return false;
    });
  }

  /** All requests with rows waiting; they wait no more. */
  clear(): Request[] {
    const requests = this.#entries.map(({ request }) => request);
    this.#entries = [];
    this.#rows = 0;
    return requests;
  }

  /** The next batch: everything that fits; the oldest requests first, and of each at most 16 rows before all others had their turn. */
  take(capacity: number): RowSlice<Request>[] {
    const counts = new Map<Entry<Request>, number>();
    let room = capacity;
    for (const limit of [fairRows, Infinity]) {
      for (const entry of this.#entries) {
        if (room === 0) break;
        const already = counts.get(entry) ?? 0;
        const count = Math.min(entry.rows - entry.taken - already, limit - already, room);
        if (count <= 0) continue;
        counts.set(entry, already + count);
        room -= count;
      }
    }
    const slices = [...counts].map(([entry, count]) => {
      const from = entry.taken;
      entry.taken += count;
      return { request: entry.request, from, to: entry.taken };
    });
    this.#rows -= capacity - room;
    this.#entries = this.#entries.filter(({ rows, taken }) => taken < rows);
    return slices;
  }
}
