import type { PickleCursor } from './pickle-cursor.ts';
import type { PickleValue } from './pickle-values.ts';

/** The pickle machine's stack, its marks, and its memo. Every misuse is an error that names the operation. */
export class PickleStack {
  /** Values above the last mark. */
  #top: PickleValue[] = [];
  /** What lies below each mark. */
  readonly #below: PickleValue[][] = [];
  readonly #memo: PickleValue[] = [];
  readonly #cursor: PickleCursor;
  readonly #maxMarks: number;

  constructor(cursor: PickleCursor, maxMarks: number) {
    this.#cursor = cursor;
    this.#maxMarks = maxMarks;
  }

  push(value: PickleValue): void {
    this.#top.push(value);
  }

  pop(): PickleValue {
    const value = this.#top.pop();
    if (value === undefined) throw this.#cursor.error('CHECKPOINT_PICKLE', 'finds the stack empty');
    return value;
  }

  peek(): PickleValue {
    const value = this.#top.at(-1);
    if (value === undefined) throw this.#cursor.error('CHECKPOINT_PICKLE', 'finds the stack empty');
    return value;
  }

  mark(): void {
    if (this.#below.length >= this.#maxMarks) throw this.#cursor.error('CHECKPOINT_LIMIT', `is nested deeper than ${this.#maxMarks}`);
    this.#below.push(this.#top);
    this.#top = [];
  }

  /** Takes the values above the last mark, and the mark. */
  popMarked(): PickleValue[] {
    const values = this.#top;
    const below = this.#below.pop();
    if (below === undefined) throw this.#cursor.error('CHECKPOINT_PICKLE', 'finds no mark');
    this.#top = below;
    return values;
  }

  /** Remembers the topmost value as number `index`; Python's pickler counts from 0 without gaps. */
  memoize(index = this.#memo.length): void {
    if (index !== this.#memo.length)
      throw this.#cursor.error('CHECKPOINT_PICKLE', `writes memo ${index} when ${this.#memo.length} comes next`);
    this.#memo.push(this.peek());
  }

  recall(index: number): void {
    const value = this.#memo[index];
    if (value === undefined) throw this.#cursor.error('CHECKPOINT_PICKLE', `reads memo ${index} of ${this.#memo.length}`);
    this.push(value);
  }

  /** The result: the only value that is left. */
  finish(): PickleValue {
    const value = this.pop();
    if (this.#top.length > 0 || this.#below.length > 0) throw this.#cursor.error('CHECKPOINT_PICKLE', 'leaves values on the stack');
    return value;
  }
}
