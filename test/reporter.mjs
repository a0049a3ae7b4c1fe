// Mocha's spec reporter plus the one line that CI reads: "N passed, N failed[, N skipped]".
// With R2R_TEST_TOTALS set, the counts and what failed go to that file instead, so that test/run.ts can add up its suites.
import { appendFileSync } from 'node:fs';
import Mocha from 'mocha';

export default class TotalsReporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      const totals = process.env.R2R_TEST_TOTALS;
      if (!totals) {
        console.log(`${passes} passed, ${failures} failed${pending > 0 ? `, ${pending} skipped` : ''}`);
        return;
      }
      const failed = this.failures.map((test) => `${test.fullTitle()}: ${String(test.err?.message ?? test.err)}`);
      appendFileSync(totals, `${JSON.stringify({ passes, failures, pending, failed })}\n`);
    });
  }
}
