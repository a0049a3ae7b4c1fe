import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { optionDefaults, strategies, type StrategyName, type StrategyOptions } from '../../../src/api/strategies.ts';
import { noSignals, signalNames, type SignalName, type Signals } from '../../../src/router/scoring/signals.ts';
import { strategyOf } from '../../../src/router/strategies/index.ts';
import type { RoutedRow, Strategy } from '../../../src/router/strategy.ts';
import { bounded } from '../../scale.ts';

/** What upstream's own classes decided; how it came about is in upstream-decisions.py. */
interface UpstreamDecisions {
  readonly rows: number;
  /** A request begins at every multiple of this, with a strategy as new. */
  readonly requestLength: number;
  /** Little-endian float32, base64. */
  readonly signals: Readonly<Record<SignalName, string>>;
  readonly cases: readonly {
    readonly strategy: StrategyName;
    readonly threshold?: number;
    readonly options: StrategyOptions;
    /** A bit a row, first row in the highest bit of the first byte: 1 where the LLM was chosen. */
    readonly llm: string;
  }[];
}

const upstream = JSON.parse(readFileSync(join(import.meta.dirname, 'upstream-decisions.json'), 'utf8')) as UpstreamDecisions;

function decider(name: StrategyName, threshold?: number, options: StrategyOptions = {}): Strategy {
  const strategy = strategyOf(name, threshold, options);
  assert.ok(strategy !== 'llm');
  return strategy;
}

function upstreamRows(): readonly Signals[] {
  const columns = signalNames.map((name) => {
    const bytes = Buffer.from(upstream.signals[name], 'base64');
    return [name, Array.from({ length: upstream.rows }, (_, index) => bytes.readFloatLE(4 * index))] as const;
  });
  return Array.from({ length: upstream.rows }, (_, index) => ({
    ...noSignals,
    ...Object.fromEntries(columns.map(([name, values]) => [name, values[index]])),
  }));
}

describe("upstream's strategies", () => {
  const rows = upstreamRows();

  for (const { strategy, threshold, options, llm } of upstream.cases) {
    it(`decide as upstream's: ${strategy} ${JSON.stringify({ ...(threshold !== undefined && { threshold }), ...options })}`, () => {
      const bits = Buffer.from(llm, 'hex');
      const ours = decider(strategy, threshold, options);
      let state = ours.initial;
      const wrong: number[] = [];
      let divergences = 0;
      for (const [index, signals] of rows.entries()) {
        const position = index % upstream.requestLength;
        if (position === 0) state = ours.initial;
        const decision = ours.decide(state, { id: 0, position, signals });
        state = decision.state;
        if (decision.divergent) divergences++;
        const expected = ((bits[index >> 3] ?? 0) >> (7 - (index & 7))) & 1;
        if (decision.divergent !== (expected === 1)) wrong.push(index);
      }
      assert.deepEqual(wrong, []);
      assert.ok(divergences > upstream.rows / 100 && divergences < upstream.rows * 0.99, `${divergences} of ${upstream.rows} say little`);
    });
  }

  it('are all among the cases that were recorded, but random, whose draws differ', () => {
    const recorded = new Set(upstream.cases.map(({ strategy }) => strategy));
    assert.deepEqual(
      strategies.filter((name) => !recorded.has(name)),
      ['random', 'slm', 'llm'],
    );
  });
});

/** Every strategy that decides, with options that make both decisions common. */
const deciders: readonly (readonly [string, Strategy])[] = [
  ['neural', decider('neural', 0.5)],
  ['neural_rolling', decider('neural_rolling', 0.5)],
  ['entropy', decider('entropy', 0.5)],
  ['immediate', decider('immediate', undefined, { aleatoricThreshold: 0.5, epistemicThreshold: 0.3, entropyThreshold: 0.2 })],
  ['momentum', decider('momentum', undefined, { aleatoricThreshold: 0.5 })],
  ['rolling', decider('rolling', undefined, { aleatoricThreshold: 0.5, entropyThreshold: 0.2 })],
  ['duo_rolling', decider('duo_rolling', undefined, { aleatoricThreshold: 0.5 })],
  ['random', decider('random', undefined, { llmProbability: 0.5 })],
  ['slm', decider('slm')],
];

const value = fc.oneof(
  { weight: 9, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
  { weight: 1, arbitrary: fc.constant(Number.NaN) },
);
const signals = fc.record({ probability: value, entropy: value, aleatoric: value, epistemic: value });
const sequence = fc.array(signals, { minLength: 1, maxLength: 60 });

const rowsOf = (all: readonly Signals[]): RoutedRow[] => all.map((each, position) => ({ id: position, position, signals: each }));

function decisionsOf(strategy: Strategy, rows: readonly RoutedRow[]): boolean[] {
  let state = strategy.initial;
  return rows.map((row) => {
    const decision = strategy.decide(state, row);
    state = decision.state;
    return decision.divergent;
  });
}

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const each of Object.values(Object.freeze(value))) frozen(each);
  return value;
}

for (const [name, strategy] of deciders) {
  describe(`strategy ${name}`, () => {
    it('decides the same from the same state, which it never changes', () => {
      fc.assert(
        fc.property(sequence, (all) => {
          let state = frozen(strategy.initial);
          for (const row of rowsOf(all)) {
            const first = frozen(strategy.decide(state, row));
            assert.deepEqual(strategy.decide(state, row), first);
            state = first.state;
          }
        }),
        bounded(200, 5_000),
      );
    });

    it('decides the same when it looked ahead and took that back', () => {
      fc.assert(
        fc.property(sequence, fc.array(sequence, { minLength: 1, maxLength: 8 }), fc.nat(8), (all, detours, every) => {
          const plain = decisionsOf(strategy, rowsOf(all));
          let state = strategy.initial;
          const withDetours = rowsOf(all).map((row) => {
            let ahead = state;
            if (row.position % (every + 1) === 0) {
              for (const other of rowsOf(detours[row.position % detours.length] ?? [])) {
                ahead = strategy.decide(ahead, { ...other, position: row.position + other.position }).state;
              }
            }
            const decision = strategy.decide(state, row);
            state = decision.state;
            return decision.divergent;
          });
          assert.deepEqual(withDetours, plain);
        }),
        bounded(200, 5_000),
      );
    });

    for (const missing of strategy.signals) {
      it(`sends a token to the LLM whose ${missing} cannot be known, whatever came before`, () => {
        fc.assert(
          fc.property(sequence, signals, (all, last) => {
            let state = strategy.initial;
            for (const row of rowsOf(all)) state = strategy.decide(state, row).state;
            const row = { id: 1, position: all.length, signals: { ...last, [missing]: Number.NaN } };
            assert.equal(strategy.decide(state, row).divergent, true);
          }),
          bounded(200, 5_000),
        );
      });
    }

    it('looks at no signal but those it names', () => {
      fc.assert(
        fc.property(sequence, (all) => {
          const only = all.map((each) => ({
            ...noSignals,
            ...Object.fromEntries(strategy.signals.map((signal) => [signal, each[signal]])),
          }));
          assert.deepEqual(decisionsOf(strategy, rowsOf(only)), decisionsOf(strategy, rowsOf(all)));
        }),
        bounded(100, 5_000),
      );
    });
  });
}

describe('strategy random', () => {
  const draws = (options: StrategyOptions, positions: readonly number[]) =>
    positions.map((position) => decider('random', undefined, options).decide(null, { id: 0, position, signals: noSignals }).divergent);
  const positions = Array.from({ length: 20_000 }, (_, position) => position);

  it('draws by seed and position, in whatever order', () => {
    const forwards = draws({ seed: 7 }, positions);
    assert.deepEqual(draws({ seed: 7 }, positions.toReversed()).toReversed(), forwards);
    assert.notDeepEqual(draws({ seed: 8 }, positions), forwards);
    assert.deepEqual(draws({}, positions), draws({ seed: optionDefaults.seed, llmProbability: optionDefaults.llmProbability }, positions));
  });

  for (const llmProbability of [0, 0.126, 0.5, 1]) {
    it(`sends a share of ${llmProbability} to the LLM`, () => {
      const share = draws({ llmProbability }, positions).filter(Boolean).length / positions.length;
      const deviation = Math.sqrt((llmProbability * (1 - llmProbability)) / positions.length);
      assert.ok(Math.abs(share - llmProbability) <= 4 * deviation, `${share}`);
    });
  }
});

describe('the strategies to one side', () => {
  it('are slm, which decides nothing is divergent, and llm, which leaves nothing to decide', () => {
    assert.deepEqual(decisionsOf(decider('slm'), rowsOf([noSignals, noSignals])), [false, false]);
    assert.equal(strategyOf('llm', undefined, {}), 'llm');
  });

  it('a threshold strategy without a threshold is a mistake of the caller', () => {
    for (const name of ['neural', 'neural_rolling', 'entropy'] as const) assert.throws(() => strategyOf(name, undefined, {}), TypeError);
  });
});
