/** How much longer than in `npm test` property tests run: `npm run test:long` sets 20. */
export const scale = Number(process.env.R2R_TEST_SCALE ?? '1');

/** Options of `fc.assert` for a property that takes `numRuns` cases and at most `limitMs` in `npm test`. */
export function bounded(numRuns: number, limitMs: number) {
  return { numRuns: numRuns * scale, interruptAfterTimeLimit: limitMs * scale, markInterruptAsFailure: false };
}
