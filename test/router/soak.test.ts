import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { makeBenchModel } from '../../bench/router/model.ts';
import { ServedRouter, startEmulatedEngine, stopAll } from '../../bench/router/processes.ts';
import { positionAt, promptOf } from '../../bench/router/script.ts';
import { recordResult } from '../record-result.ts';
import { scale } from '../scale.ts';

const seconds = scale > 1 ? 600 : 15;
const conversations = 32;
const lookaheads = ['Nested', 'Single', 'Off'] as const;

interface Answer {
  readonly choices: readonly { readonly finish_reason: string }[];
  readonly r2r: { readonly tokens: readonly { readonly id: number; readonly source: string }[] };
}

/** A number in [0, n) that the seed and the count decide. */
function draw(seed: number, count: number, n: number): number {
  return (Math.imul(seed + 1, 2654435761) % n) ^ ((Math.imul(count + 7, 40503) >>> 8) % n);
}

describe(`a router under ${conversations} conversations for ${seconds} s`, function () {
  this.timeout((seconds + 120) * 1000);
  after(() => stopAll());

  it('loses no token, gives no wrong one, and does not grow', async () => {
    const [slmUrl, llmUrl, model] = await Promise.all([
      startEmulatedEngine('slm', 3.1, 0),
      startEmulatedEngine('llm', 30, 25.2),
      makeBenchModel(),
    ]);
    const router = await ServedRouter.start({ slmUrl, llmUrl, modelFolder: model.slmFolder, networkMs: 0.64 });
    const configure = (turn: number): Promise<void> =>
      router.configure({
        modelName: 'bench',
        strategy: 'neural',
        checkpoint: { uri: '/emulated' },
        precision: 'int8',
        lookahead: lookaheads[turn % lookaheads.length] ?? 'Nested',
        maxLookaheadCalls: 6,
        maxDraftTokens: 8,
        onLLMUnavailable: 'Fail',
        llmTimeoutSeconds: 30,
        drainingPodUIDs: [],
      });
    await configure(0);
    const end = Date.now() + seconds * 1000;
    const memoryMb: number[] = [];
    let tokens = 0;
    let answers = 0;
    const converse = async (seed: number): Promise<void> => {
      for (let count = 0; Date.now() < end; count++) {
        const prompt = promptOf(seed * 1000 + count, [50, 126, 300][count % 3] ?? 126);
        const maxTokens = 20 + Math.abs(draw(seed, count, 300));
        const body = JSON.stringify({ model: 'bench', prompt, max_tokens: maxTokens, r2r: { tokens: true } });
        const response = await request(`${router.url}/v1/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        });
        const text = await response.body.text();
        assert.equal(response.statusCode, 200, text.slice(0, 300));
        const { r2r } = JSON.parse(text) as Answer;
        const expected = Array.from({ length: maxTokens }, (_, index) => {
          const { slm, llm, divergent } = positionAt(prompt, prompt.length + index);
          return divergent ? [llm, 'llm'] : [slm, 'slm'];
        });
        assert.deepEqual(
          r2r.tokens.map(({ id, source }) => [id, source]),
          expected,
        );
        tokens += maxTokens;
        answers++;
      }
    };
    // One after the other: each second a look at the memory, each fifth another way of looking ahead.
    const watch = async (): Promise<void> => {
      for (let second = 1; Date.now() < end; second++) {
        await sleep(1_000);
        memoryMb.push((await router.read()).rssMb);
        // the bench's own samples would grow
        await router.reset();
        if (second % 5 === 0) await configure(second / 5);
      }
    };
    await Promise.all([watch(), ...Array.from({ length: conversations }, (_, seed) => converse(seed))]);
    // Calls that were asked ahead in vain are left to end, which takes each some 60 ms.
    const callsUnderWay = async (): Promise<number> => {
      const { inFlight, llmEndpoints } = await router.status();
      return llmEndpoints.reduce((sum, each) => sum + each.inFlight, inFlight);
    };
    for (const until = Date.now() + 5_000; (await callsUnderWay()) > 0;) {
      assert.ok(Date.now() < until, 'calls are still under way 5 s after the last answer');
      await sleep(50);
    }
    assert.ok(answers >= conversations, `${answers} answers`);
    const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    // The first minute fills heaps and caches.
    const settled = memoryMb.slice(60);
    const third = Math.floor(settled.length / 3);
    const growthMb = third > 0 ? mean(settled.slice(-third)) - mean(settled.slice(0, third)) : 0;
    assert.ok(growthMb < 15, `memory grew by ${growthMb.toFixed(1)} MB`);
    await recordResult('soak', { seconds, conversations, answers, tokens, growthMb, peakMb: Math.max(...memoryMb) });
    router.stop();
  });
});
