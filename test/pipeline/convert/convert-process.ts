/** `convert-process.ts FOLDER PARAMS`: converts, and says when it began and how much memory it took at most. */
import { convertStep } from '../../../src/pipeline/convert/convert-step.ts';
import { makeSpec, runStep } from '../../../src/pipeline/run-step.ts';
import { toyContext } from '../toy-steps.ts';

const [folder = '', params = ''] = process.argv.slice(2);
process.stdout.write('started\n');
const context = { ...toyContext({ folder, count: 0 }), sources: { cacheFolder: `${folder}/cache` } };
const outcome = await runStep(convertStep, makeSpec(convertStep, JSON.parse(params), {}), context);
if (!outcome.sealed) throw new Error('one shard makes all parts');
process.stdout.write(`${JSON.stringify({ counts: outcome.manifest.counts, maxBytes: process.resourceUsage().maxRSS * 1024 })}\n`);
