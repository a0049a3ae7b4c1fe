import assert from 'node:assert/strict';
import fc from 'fast-check';
import { LogitRecovery } from '../../../src/pipeline/prefill/recovery.ts';
import { SpreadCheck } from '../../../src/pipeline/prefill/spread-check.ts';
import { PipelineError } from '../../../src/pipeline/errors.ts';
import { roundToBfloat16, roundToFloat16 } from '../../../src/model/number-formats.ts';
import type { RowTable } from '../../../src/model/row-table.ts';

const [tokens, width] = [60, 8];
const snaps = { bfloat16: roundToBfloat16, float16: roundToFloat16, float32: (values: Float32Array) => values };

function tableOf(values: Float32Array): RowTable {
  return {
    tensor: 'lm_head.weight',
    rows: tokens,
    width,
    type: 'F32',
    gather(ids, out) {
      for (let index = 0; index < ids.length; index++)
        out.set(values.subarray(ids[index]! * width, (ids[index]! + 1) * width), index * width);
    },
    digest: () => Promise.resolve(''),
    close: () => Promise.resolve(),
  };
}

const vector = (length: number) => fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: length, maxLength: length });

describe('raw logits', () => {
  for (const type of ['bfloat16', 'float16', 'float32'] as const)
    it(`in ${type} are those the log-probabilities were made of`, () => {
      fc.assert(
        fc.property(vector(tokens * width), vector(width), (weights, state) => {
          const snap = snaps[type];
          const [lmHead, hidden] = [snap(Float32Array.from(weights)), snap(Float32Array.from(state))];
          const logits = snap(
            Float32Array.from({ length: tokens }, (_, token) =>
              hidden.reduce((sum, value, at) => sum + value * lmHead[token * width + at]!, 0),
            ),
          );
          const best = Array.from({ length: tokens }, (_, token) => token)
            .sort((a, b) => logits[b]! - logits[a]!)
            .slice(0, 20);
          const log = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
          const top = { ids: Int32Array.from(best), logprobs: Float64Array.from(best, (token) => Math.fround(logits[token]! - log)) };
          const row = new LogitRecovery(tableOf(lmHead), type).recover({ hidden, top });
          // what float32 of a log-probability leaves of it
          const tolerance = Math.max(...top.logprobs.map(Math.abs), 1) * 2 ** -22;
          for (const [rank, token] of best.entries()) {
            const error = Math.abs(row.logits[rank]! - logits[token]!);
            assert.ok(
              error <= tolerance || error <= Math.abs(logits[token]!) * 2 ** -7 * Number(Math.abs(logits[token]!) < 0.01),
              `${error}`,
            );
          }
          assert.ok(row.spread <= 2 * tolerance, String(row.spread));
          assert.ok(row.logits.every((value, index, all) => index === 0 || value <= all[index - 1]!));
        }),
        { numRuns: 200, seed: 5 },
      );
    });

  it('of another LM head are noticed, a few rounded the other way are not', () => {
    const logits = Float32Array.of(20, 19, 18);
    const right = new SpreadCheck('/models/slm');
    for (let row = 0; row < 200; row++) right.add(row < 10 ? 0.5 : 0.125, logits);
    right.conclude();
    const wrong = new SpreadCheck('/models/slm');
    for (let row = 0; row < 200; row++) wrong.add(row < 30 ? Number.NaN : 0, logits);
    assert.throws(
      () => wrong.conclude(),
      (error) =>
        error instanceof PipelineError && error.code === 'PIPELINE_MODEL' && !error.retryable && /30 of 200 rows/.test(error.message),
    );
  });
});
