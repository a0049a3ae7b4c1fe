/** How much a download may take. */
export interface FetchLimits {
  /** Of the file. @default 2 GiB */
  readonly maxBytes: number;
  /** Until an answer's headers are there, connecting included. @default 20_000 */
  readonly answerMs: number;
  /** In each window of so many milliseconds … @default 30_000 */
  readonly windowMs: number;
  /** … at least so many bytes must arrive, or the try is given up. @default 32 KiB */
  readonly windowBytes: number;
  /** Redirects of one try. @default 5 */
  readonly maxRedirects: number;
  /** Waits between tries, of which half is at random; the number of tries is one more. @default [500, 1_000, 2_000, 4_000] */
  readonly retryDelaysMs: readonly number[];
  /** A longer wait that a server asks for ends the fetch, with an error that may pass. @default 60_000 */
  readonly maxRetryAfterMs: number;
  /** A try that brought so many bytes lets the tries begin anew. @default 1 MiB */
  readonly progressBytes: number;
}

export const defaultLimits: FetchLimits = {
  maxBytes: 2 * 2 ** 30,
  answerMs: 20_000,
  windowMs: 30_000,
  windowBytes: 32 * 2 ** 10,
  maxRedirects: 5,
  retryDelaysMs: [500, 1_000, 2_000, 4_000],
  maxRetryAfterMs: 60_000,
  progressBytes: 2 ** 20,
};
