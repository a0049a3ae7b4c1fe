/** `convert-process.ts FOLDER PARAMS`: converts, and says when it began and how much memory it took at most. */
import { readFileSync } from 'node:fs';
import { convertStep } from '../../../src/pipeline/convert/convert-step.ts';
import { makeSpec, runStep } from '../../../src/pipeline/run-step.ts';
import { toyContext } from '../toy-steps.ts';

const [folder = '', params = ''] = process.argv.slice(2);
process.stdout.write('started\n');
const context = { ...toyContext({ folder, count: 0 }), sources: { cacheFolder: `${folder}/cache` } };
const outcome = await runStep(convertStep, makeSpec(convertStep, JSON.parse(params), {}), context);
if (!outcome.sealed) throw new Error('one shard makes all parts');
// Not resourceUsage().maxRSS: it begins with what the process had that started this one.
const [, peakKb = Number.NaN] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
process.stdout.write(`${JSON.stringify({ counts: outcome.manifest.counts, maxBytes: Number(peakKb) * 1024 })}\n`);
