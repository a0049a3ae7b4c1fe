/** A process that labels with engines that are there, so that a test can kill it: `node tiny-process.ts FOLDER QUESTIONS {"slm": URL, …}`. */
import { z } from 'zod';
import { runTinySteps, stepEngine, tinyContext, tinyParams } from './tiny-run.ts';

const [folder = '', questions = '', urls = ''] = process.argv.slice(2);
const { slm, llm, verifier } = z.object({ slm: z.string(), llm: z.string(), verifier: z.string() }).parse(JSON.parse(urls));
const engines = {
  slm: await stepEngine('slm', slm),
  llm: await stepEngine('llm', llm),
  verifier: await stepEngine('verifier', verifier),
};
process.stdout.write('begun\n');
await runTinySteps(tinyParams('train', Number(questions)), () => tinyContext(folder, engines));
process.exit(0);
