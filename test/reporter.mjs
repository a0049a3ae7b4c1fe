// Mocha's spec reporter plus the one line that CI reads: "N passed, N failed[, N skipped]".
// With R2R_TEST_TOTALS set, the counts go to that file instead, so that test/run.ts can add up its suites.
import { appendFileSync } from 'node:fs';
import Mocha from 'mocha';

export default class TotalsReporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      const totals = process.env.R2R_TEST_TOTALS;
      if (totals) appendFileSync(totals, `${passes} ${failures} ${pending}\n`);
      else console.log(`${passes} passed, ${failures} failed${pending > 0 ? `, ${pending} skipped` : ''}`);
    });
  }
}
