import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { UsageError } from '../../src/cli/command.ts';
import { parseImport } from '../../src/cli/router-import.ts';
import { draftRows } from '../../src/cli/calibration.ts';
import { calibrationPrompt } from '../../src/cli/calibration-prompts.ts';
import { startEngine } from '../../src/engine/server.ts';
import type { BundleManifest } from '../../src/model/bundle-manifest.ts';
import { openBundle } from '../../src/model/bundle.ts';
import type { CalibrationRow } from '../../src/model/import-bundle-comparison.ts';
import { importCheckpoint } from '../../src/model/import-bundle.ts';
import { roundToBfloat16 } from '../../src/model/number-formats.ts';
import { openRowTable } from '../../src/model/row-table.ts';
import { scale } from '../scale.ts';

const root = join(import.meta.dirname, '../..');
const fixtures = join(root, 'test/model/bundle-fixtures');
const slm = join(root, 'examples/models/slm');
const tiny = join(fixtures, 'tiny.pt');

interface Imported {
  readonly folder: string;
  readonly digest: string;
  readonly existed: boolean;
  readonly manifest: BundleManifest;
  readonly note?: string;
}

describe('kubectl r2r router import', function () {
  this.timeout(60_000);
  let folder: string;
  let out: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'r2r-cli-import-'));
    out = join(folder, 'bundle');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const run = (entry: 'main' | 'kubectl-r2r', ...args: string[]) =>
    spawnSync(process.execPath, [join(root, `src/cli/${entry}.ts`), 'router', ...args], {
      encoding: 'utf8',
      env: { ...process.env, HF_ENDPOINT: '' },
    });
  const json = ({ stdout, stderr, status }: ReturnType<typeof run>): Imported => {
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as Imported;
  };

  it('imports, compares precisions on rows that our engine drafts, and says what it did', async () => {
    const { status, stdout, stderr } = run('kubectl-r2r', 'import', tiny, '--slm', slm, '-o', out, '--calibration-rows', '200');
    assert.equal(status, 0, stderr);
    const { digest, manifest } = await openBundle(out);
    for (const expected of [
      new RegExp(`^digest +sha256:${digest}$`, 'm'),
      /^network +HiddenStatesTokenLMHeadLogitsClassifier, 4,121 parameters, 1 output\(s\)$/m,
      /^inputs +hidden \[64\], embedding \[64\], logprobs \[20\], lm_head \[5, 64\]$/m,
      /^threshold +0\.35 \(the checkpoint's own\)$/m,
      /^SLM +qwen2, 480 tokens, logits in bfloat16$/m,
      /^source +file:tiny\.pt \(sha256:[0-9a-f]{64}\)$/m,
      /^precision +size +rows +decisions changed +mean \|dp\| +max \|dp\|$/m,
      /^int8 +\d+\.\d kB +200 +\d+ \(\d\.\d %\) +\d\.\de-\d +\d\.\de-\d$/m,
      /^\d+\.\d % of these 200 rows are divergent at 0\.35$/m,
      /^took \d+\.\d s$/m,
    ])
      assert.match(stdout, expected);
    assert.doesNotMatch(stdout, /warning/);
    assert.match(stderr, /building the network in int8 …/);
    const comparison = manifest.graphs.int8?.comparison;
    assert.equal(comparison?.rows, 200);
    assert.ok(comparison.maxDifference > 0 && comparison.maxDifference < 0.05, JSON.stringify(comparison));
    // the rows are this SLM's: the five candidates for the constant agree up to a step of bfloat16
    assert.ok(manifest.metrics['calibrationMaxLogitSpread']! <= 0.3);
  });

  it('gives the same bundle with rows of a live server, and through either program', async () => {
    const engine = await startEngine({ modelPath: slm, host: '127.0.0.1', port: 0, returnHiddenStates: true }, assert.ifError);
    try {
      const own = json(run('main', 'import', tiny, '--slm', slm, '-o', out, '--calibration-rows', '100', '--json'));
      // spawnSync would stop the engine's own process
      const child = spawn(
        process.execPath,
        [
          join(root, 'src/cli/kubectl-r2r.ts'),
          'router',
          'import',
          tiny,
          '--slm',
          slm,
          '-o',
          join(folder, 'live'),
          '--slm-url',
          engine.url,
        ].concat('--calibration-rows', '100', '--json'),
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const text = (await child.stdout.toArray()).join('');
      const live = JSON.parse(text) as Imported;
      assert.equal(live.digest, own.digest);
      assert.equal(live.manifest.graphs.int8?.comparison?.rows, 100);
      const again = json(run('main', 'import', tiny, '--slm', slm, '-o', out, '--calibration-rows', '100', '--json'));
      assert.deepEqual([again.existed, again.digest], [true, own.digest]);
    } finally {
      await engine.close();
    }
  });

  it('imports the router network of the example models, whose decisions int8 hardly changes', () => {
    const checkpoint = join(root, 'examples/models/router/router.pt');
    const { manifest } = json(run('main', 'import', checkpoint, '--slm', slm, '-o', out, '--calibration-rows', '500', '--json'));
    const comparison = manifest.graphs.int8!.comparison!;
    assert.equal(manifest.network, 'HiddenStatesTokenLMHeadLogitsClassifier');
    assert.deepEqual([comparison.rows, comparison.threshold], [500, manifest.threshold]);
    assert.ok(comparison.changed <= 10, `${comparison.changed} of 500 decisions changed`);
    assert.ok(comparison.meanDifference < 0.01, JSON.stringify(comparison));
    const { calibrationDivergentShare: share, calibrationMaxLogitSpread: spread } = manifest.metrics;
    assert.ok(share! > 0 && share! < 0.6, `${share} of the rows are divergent`);
    assert.ok(spread! <= 0.3, `the candidates for the constant of the logits spread by ${spread}`);
  });

  it('recovers the raw logits of rows that the SLM drafts, bit for bit', async () => {
    await importCheckpoint({ checkpointPath: null, slmFolder: slm, outFolder: out, precisions: ['fp32'], source: 'test' });
    const rows: CalibrationRow[] = [];
    for await (const row of draftRows({ slmFolder: slm, rows: 150 }, 100)) rows.push(row);
    const head = await openRowTable(slm, 'lm_head');
    const session = await InferenceSession.create(join(out, 'router-fp32.onnx'));
    let wrong = 0;
    for (const { id, hidden, topIds, logprobs } of rows) {
      assert.equal(topIds[0], id);
      const best = new Float32Array(5 * head.width);
      head.gather(Array.from(topIds).slice(0, 5), best);
      const outputs = await session.run({
        hidden: new Tensor('float32', hidden, [1, 64]),
        logprobs: new Tensor('float32', Float32Array.from(logprobs), [1, 100]),
        lm_head: new Tensor('float32', best, [1, 5, 64]),
      });
      const all = new Float32Array(100 * head.width);
      head.gather(topIds, all);
      const exact = roundToBfloat16(
        Float32Array.from({ length: 100 }, (_, at) => hidden.reduce((sum, value, column) => sum + value * all[at * 64 + column]!, 0)),
      );
      const found = outputs['raw_logits']!.data as Float32Array;
      wrong += found.filter((value, at) => value !== exact[at]).length;
      assert.ok((outputs['spread']!.data as Float32Array)[0]! < 0.3);
    }
    await session.release();
    await head.close();
    assert.ok(wrong <= 3, `${wrong} of 15,000 logits differ: more than sums that lie on a rounding boundary`);
  });

  it('makes a bundle of the SLM alone, and inspects it', () => {
    const made = json(run('main', 'import', 'none', '--slm', slm, '-o', out, '--json'));
    assert.deepEqual([made.manifest.network, made.manifest.provenance.source], [null, 'the SLM alone']);
    const { digest } = json(run('kubectl-r2r', 'inspect', out, '--slm', slm, '--json'));
    assert.equal(digest, made.digest);
    const { stdout } = run('main', 'inspect', out);
    assert.match(stdout, /^network +none: it recovers raw logits$/m);
    assert.match(stdout, /^every file is as the manifest says$/m);
  });

  it('says so when precisions were not compared', () => {
    const { stdout } = run('main', 'import', tiny, '--slm', slm, '-o', out, '--calibration-rows', '0');
    assert.match(stdout, /^int8 was not compared with fp32: there were no calibration rows$/m);
  });

  it('takes replaced init arguments, and the type of a server that rounds differently', () => {
    const override = ['--override-init-args', '{"pretrained_model_name": "another/name"}', '--logits-type', 'float16'];
    const { manifest } = json(run('main', 'import', tiny, '--slm', slm, '-o', out, '--calibration-rows', '0', '--json', ...override));
    assert.equal(manifest.logitsType, 'float16');
  });

  const valid = [tiny, '--slm', slm, '--output', '/tmp/never-written'];
  for (const [args, message] of [
    [[], /CHECKPOINT is missing: a path, or "none"/],
    [[tiny, '-o', 'x'], /--slm is missing/],
    [[tiny, '--slm', slm], /--output is missing/],
    [[tiny, 'b.pt'], /one CHECKPOINT is imported at a time; what is "b\.pt"\?/],
    [[...valid, '--precision', 'int4'], /--precision must list fp32, int8 or both, got "int4"/],
    [[...valid, '--calibration-rows', '-1'], /calibration-rows/],
    [[...valid, '--calibration-rows', 'x'], /--calibration-rows must be a whole number up to 100000, got "x"/],
    [[...valid, '--slm-url', 'localhost:30000'], /--slm-url must be http:\/\/HOST:PORT, got "localhost:30000"/],
    [[...valid, '--override-init-args', '{'], /--override-init-args is not JSON/],
    [[...valid, '--override-init-args', '[]'], /--override-init-args must be a JSON object/],
    [[...valid, '--logits-type', 'int8'], /--logits-type must be one of bfloat16, float16, float32, got "int8"/],
    [[...valid, '--no-such-flag'], /Unknown option '--no-such-flag'/],
  ] as const) {
    it(`refuses the command line ${args.join(' ').replaceAll(root, '')}`, () => {
      assert.throws(
        () => parseImport(args),
        (error) => error instanceof UsageError && message.test(error.message) && !error.message.includes('\n'),
      );
    });
  }

  it('ends with 2 and one line for a wrong command line', () => {
    for (const [command, message] of [
      ['import', /^r2r router import: CHECKPOINT is missing: a path, or "none"; `r2r router import --help` lists the flags\n$/],
      ['inspect', /^r2r router inspect: give the folder of one BUNDLE; `r2r router inspect --help` lists the flags\n$/],
    ] as const) {
      const { status, stderr } = run('main', command);
      assert.match(stderr, message);
      assert.equal(status, 2);
    }
  });

  for (const [what, args, code, message] of [
    ['what is no checkpoint', ['import', join(fixtures, 'make.py')], 'CHECKPOINT_FORMAT', /make\.py: is not a torch checkpoint/],
    [
      'a checkpoint that is not there',
      ['import', 'resource/default_router.pt'],
      'CHECKPOINT_UNREADABLE',
      /default_router\.pt: the checkpoint cannot be opened/,
    ],
    ['a checkpoint for another SLM', ['import', join(fixtures, 'wide.pt')], 'BUNDLE_SLM_MISMATCH', /hidden_states_size is 128/],
    ['a place that nothing is fetched from', ['import', 'ftp://host/router.pt'], 'FETCH_URI_INVALID', /nothing is fetched over ftp/],

    ['a server that is not there', ['import', tiny, '--slm-url', 'http://127.0.0.1:9'], 'unreachable', /127\.0\.0\.1:9/],
  ] as const) {
    it(`ends with 1, says why and writes nothing for ${what}`, () => {
      const { status, stdout, stderr } = run('main', ...args, '--slm', slm, '-o', out, '--json');
      assert.equal(status, 1);
      assert.match(stderr, message);
      assert.equal(stderr.trim().split('\n').length, 1);
      assert.equal((JSON.parse(stdout) as { readonly error: { readonly code: string } }).error.code, code);
      assert.deepEqual(readdirSync(folder), []);
    });
  }

  it('refuses a damaged bundle when it is inspected, and one for another SLM', () => {
    run('main', 'import', 'none', '--slm', slm, '-o', out);
    const other = run('main', 'inspect', out, '--slm', join(root, 'examples/models/llm'));
    assert.equal(other.status, 1);
    assert.match(other.stderr, /hiddenSize is 64, of the SLM in .* it is 128/);
    const model = join(out, 'router-fp32.onnx');
    writeFileSync(model, readFileSync(model).fill(0, 100, 101));
    const { status, stderr } = run('main', 'inspect', out);
    assert.equal(status, 1);
    assert.match(stderr, /^r2r router inspect: .*router-fp32\.onnx: its sha256 is /);
  });

  it('leaves the sidecar to `r2r router` without a command, and lists commands to the plugin', () => {
    assert.match(run('main', '--help').stdout, /^usage: r2r router --slm-url URL/);
    assert.match(run('kubectl-r2r', '--help').stdout, /import +turns an upstream checkpoint/);
    const { status, stderr } = run('kubectl-r2r', 'export');
    assert.equal(status, 2);
    assert.match(stderr, /^kubectl r2r router: there is no command "export"/);
    assert.match(run('kubectl-r2r', 'import', '--help').stdout, /^usage: r2r router import CHECKPOINT/);
  });

  it('ends at once when it is told to, and leaves nothing', async () => {
    const child = spawn(process.execPath, [join(root, 'src/cli/main.ts'), 'router', 'import', tiny, '--slm', slm, '-o', out], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const exited = once(child, 'exit');
    for await (const line of createInterface({ input: child.stderr })) {
      if (line.startsWith('drafting')) child.kill('SIGTERM');
      if (line.startsWith('r2r')) assert.equal(line, 'r2r router import: stopped by SIGTERM');
    }
    assert.deepEqual([await exited, readdirSync(folder)], [[143, null], []]);
  });

  it('leaves no bundle or a whole one when it is killed at any moment, and works the next time', async function () {
    this.timeout(300_000);
    const args = [
      join(root, 'src/cli/main.ts'),
      'router',
      'import',
      join(fixtures, 'trained_all.pt'),
      '--slm',
      slm,
      '--calibration-rows',
      '0',
    ];
    const whole = json(run('main', ...args.slice(2), '-o', join(folder, 'whole'), '--json')).digest;
    const moments = [
      'reading the checkpoint',
      'building the network in fp32',
      'building the network in int8',
      'comparing embeddings',
      'finishing',
    ];
    const kills = 10 * scale;
    let found = 0;
    for (let attempt = 0; attempt < kills; attempt++) {
      const child = spawn(process.execPath, [...args, '-o', out], { stdio: ['ignore', 'ignore', 'pipe'] });
      const exited = once(child, 'exit');
      // the delay behind a step is no wait for anything: it spreads the kills over the step
      const delayMs = Math.floor(attempt / moments.length) * 3;
      for await (const line of createInterface({ input: child.stderr }))
        if (line.startsWith(moments[attempt % moments.length]!)) setTimeout(() => child.kill('SIGKILL'), delayMs);
      await exited;
      if (!existsSync(out)) continue;
      found++;
      assert.equal((await openBundle(out)).digest, whole);
      rmSync(out, { recursive: true });
    }
    assert.equal(json(run('main', ...args.slice(2), '-o', out, '--json')).digest, whole);
    assert.deepEqual(readdirSync(folder).sort(), ['bundle', 'whole'], `leftovers after ${kills} kills, ${found} of them too late`);
  });

  it('asks the SLM about many things, and for a thousand rows nothing twice', () => {
    const prompts = Array.from({ length: 64 }, (_, index) => calibrationPrompt(index));
    assert.equal(new Set(prompts).size, 64);
    assert.equal(calibrationPrompt(17), prompts[17]);
  });
});
