/** A workspace as training leaves it: a label set of the tiny models, and a router network that the real trainer made of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runAll } from '../../../src/pipeline/all-steps.ts';
import { stepFolderName, stepHash, trainFormat, type JsonObject, type StepSpec } from '../../../src/api/step-identity.ts';
import type { JobName } from '../../../src/api/r2rrouter-jobs.ts';
import type { TrainingResult } from '../../../src/pipeline/bundle/trained.ts';
import { run } from '../../cluster/commands.ts';
import { models, startTinyEngines, tinyContext, tinyParams } from '../continue/tiny-run.ts';

export const slmFolder = join(models, 'slm');
const trainer = join(import.meta.dirname, '../../../trainer');
const env = { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' };

/** Writes check.json beside the checkpoint as the trainer does: what PyTorch says of test rows with the weights as they are saved. */
const writeCheck = `
import json, sys
from pathlib import Path
import numpy as np, pyarrow.parquet as pq, torch
from r2r_trainer.network_arguments import parse_arguments
from r2r_trainer.networks import RouterNetwork
from r2r_trainer.slm import Slm
data, checkpoint, slm, out = map(Path, sys.argv[1:])
saved = torch.load(checkpoint, map_location="cpu")
network = RouterNetwork(parse_arguments(saved["model_type"], saved["init_args"], 64, 100, False), Slm(slm)).eval()
network.load_trained_state(saved["state_dict"])
rows = []
for path in sorted(data.glob("test-*.parquet")):
    table = pq.read_table(path)
    used = (table["mask"].to_numpy() == 1) & (table["divergent"].to_numpy() >= 0)
    column = lambda name: torch.from_numpy(np.stack(table[name].to_pylist()).astype(np.float32))
    with torch.no_grad():
        outputs = network(column("small_last_hidden_states"), torch.from_numpy(table["small_token"].to_numpy().copy()), column("small_logits")[:, :100])
    for index in np.flatnonzero(used):
        rows.append({"dataId": int(table["data_id"][index].as_py()), "tokenId": int(table["token_id"][index].as_py()),
                     "probability": float(network.probability(outputs).double()[index])})
out.write_text(json.dumps({"formatVersion": 1, "rows": rows[:1000]}))
`;

export interface TrainedWorkspace {
  readonly workspace: string;
  /** The label set. */
  readonly data: string;
  /** The training step's folder. */
  readonly train: string;
  readonly spec: StepSpec<JobName>;
  readonly result: TrainingResult & { readonly recall: number };
}

export async function trainedWorkspace(workspace: string, questions = 24): Promise<TrainedWorkspace> {
  const { engines, close } = await startTinyEngines();
  const params = { ...tinyParams('train', questions), construct: { validationShare: 0.25, testShare: 0.25 } };
  const { construct } = await runAll(params, () => tinyContext(workspace, engines)).finally(close);
  const input = { hash: construct.hash, digest: construct.digest };
  const settings: JsonObject = { 'training.params.num_epochs': 4, 'training.params.batch_size': 64, 'training.seed': 3 };
  const trainSpec: StepSpec<JobName> = { step: 'train', format: trainFormat, params: { settings }, inputs: { construct: input } };
  const hash = stepHash(trainSpec);
  const train = join(workspace, stepFolderName('train', hash));
  const data = join(workspace, stepFolderName('construct', construct.hash), 'data');
  await runTrainer(data, train, settings);
  return {
    ...{ workspace, data, train },
    spec: bundleSpec({ construct: input, train: { hash, digest: hash } }),
    result: JSON.parse(readFileSync(join(train, 'metrics.json'), 'utf8')) as TrainedWorkspace['result'],
  };
}

export function bundleSpec(inputs: StepSpec<JobName>['inputs'], params: JsonObject = {}): StepSpec<JobName> {
  return { step: 'bundle', format: 1, params: { slm: { name: 'tiny-slm' }, ...params }, inputs };
}

export async function trainerPython(): Promise<string> {
  return (await run(join(trainer, 'setup.sh'), [], { env, timeoutMs: 590_000 })).trim();
}

async function runTrainer(data: string, out: string, settings: JsonObject): Promise<void> {
  const python = await trainerPython();
  const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${JSON.stringify(value)}`]);
  const flags = ['--data', data, '--out', out, '--slm', slmFolder, '--hidden-dims', '32,32', '--device', 'cpu', ...set];
  await run(python, ['-m', 'r2r_trainer', ...flags], { env, cwd: trainer });
  await run(python, ['-c', writeCheck, data, join(out, 'router.pt'), slmFolder, join(out, 'check.json')], { env, cwd: trainer });
}

export function specFile(folder: string, spec: StepSpec<JobName>, name = 'spec.json'): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(spec));
  return path;
}
