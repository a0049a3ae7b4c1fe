/** Which rows are tested on: as the trainer has it, of label sets that it divides itself. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PipelineError } from '../../../src/pipeline/errors.ts';
import { featureRows } from '../../../src/pipeline/bundle/feature-rows.ts';
import { testRows } from '../../../src/pipeline/bundle/test-rows.ts';
import type { TrainingSettings } from '../../../src/pipeline/bundle/trained.ts';
import { run } from '../../cluster/commands.ts';
import { trainerPython } from './trained-workspace.ts';

const trainer = join(import.meta.dirname, '../../../trainer');
const signal = new AbortController().signal;
/** Makes a label set of the given files and prints the settings, and the test rows' keys and classes, as the trainer divides it. */
const dividing = `
import json, sys
from pathlib import Path
sys.path.insert(0, "tests")
import numpy as np
from making import label_rows, write_parquet
from r2r_trainer.config import parse_config
from r2r_trainer.label_set import find_files, read_group
from r2r_trainer.splits import divide
folder, files, value = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
for name, (first, last) in files.items():
    rows = label_rows(range(first, last))
    if name.startswith("named/"):
        rows["data_id"] = np.array([f"set/{each}" for each in rows["data_id"]])
    write_parquet(folder / name, rows)
config = parse_config(value)
rows = divide(config, find_files(folder), 1, False).splits["test"]
keys, at = [], 0
for group, chosen in zip(rows.groups, rows.chosen):
    ids = [(str(i), int(t)) for batch in read_group(group, ["data_id", "token_id"]) for i, t in zip(batch["data_id"].to_pylist(), batch["token_id"].to_pylist())]
    for number in chosen:
        keys.append(f"{ids[number][0]}/{ids[number][1]} {int(rows.classes[at])}")
        at += 1
settings = json.loads(json.dumps(config.as_dict()))
print(json.dumps({"settings": settings, "keys": keys}))
`;

describe('test rows', function () {
  this.timeout(60_000);
  let folder: string;
  let python: string;
  before(async function () {
    this.timeout(600_000);
    folder = mkdtempSync(join(tmpdir(), 'r2r-test-rows-'));
    python = await trainerPython();
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  const critical = { type: 'filter_data_id_critical', max_critical_ratio: 0.25, min_samples_per_data_id: 5 };
  const cases: Readonly<Record<string, { readonly files: Readonly<Record<string, readonly number[]>>; readonly config: object }>> = {
    'three splits as given': {
      files: { 'train-0.parquet': [0, 20], 'validation.parquet': [20, 25], 'test-0.parquet': [25, 31] },
      config: {},
    },
    'one set, divided by question': { files: { 'a/part-0.parquet': [0, 20], 'a/part-1.parquet': [20, 37] }, config: {} },
    'another seed and share': {
      files: { 'part-0.parquet': [0, 33] },
      config: { data: { test: { test_size: 0.45, random_seed: 7 } } },
    },
    'ids that are text': { files: { 'named/part-0.parquet': [0, 30] }, config: {} },
    'training and test, of which half are for early stopping': {
      files: { 'train/0.parquet': [0, 20], 'test/0.parquet': [20, 35] },
      config: {},
    },
    'training and validation': { files: { 'train/0.parquet': [0, 20], 'dev/0.parquet': [20, 33] }, config: {} },
    'filters of the split': {
      files: { 'train.parquet': [0, 20], 'val.parquet': [20, 25], 'test.parquet': [25, 60] },
      config: { data: { test: { filter: [critical, 'is_mismatch'].map((each) => (typeof each === 'string' ? { type: each } : each)) } } },
    },
  };
  for (const [name, { files, config }] of Object.entries(cases))
    it(`are the trainer’s: ${name}`, async () => {
      const data = mkdtempSync(join(folder, 'set-'));
      const printed = await run(python, ['-c', dividing, data, JSON.stringify(files), JSON.stringify(config)], { cwd: trainer });
      const { settings, keys } = JSON.parse(printed) as { settings: TrainingSettings; keys: readonly string[] };
      const rows = await testRows(data, settings, () => Promise.resolve(), signal);
      assert.ok('files' in rows && keys.length > 20);
      const found: string[] = [];
      for await (const { key, divergent } of featureRows(rows, { hiddenSize: 16, logitsSize: 12, inputs: ['hidden', 'logprobs'] }))
        found.push(`${key} ${divergent ? 1 : 0}`);
      assert.deepEqual(found, keys);
      assert.deepEqual([rows.count, rows.positives], [keys.length, keys.filter((key) => key.endsWith(' 1')).length]);
    });

  it('of another width, or without a column, are refused by name', async () => {
    const data = mkdtempSync(join(folder, 'set-'));
    const printed = await run(python, ['-c', dividing, data, '{"part-0.parquet": [0, 20]}', '{}'], { cwd: trainer });
    const { settings } = JSON.parse(printed) as { settings: TrainingSettings };
    const rows = await testRows(data, settings, () => Promise.resolve(), signal);
    assert.ok('files' in rows);
    const read = async (hiddenSize: number, prefix: string): Promise<void> => {
      for await (const row of featureRows({ ...rows, prefix }, { hiddenSize, logitsSize: 12, inputs: ['hidden'] })) assert.ok(row);
    };
    const refused = (field: string, message: RegExp) => (error: unknown) => {
      assert.ok(error instanceof PipelineError && error.code === 'PIPELINE_COLUMN' && error.field === field, String(error));
      assert.match(error.message, message);
      return true;
    };
    await assert.rejects(read(8, 'small_'), refused('small_last_hidden_states', /has 16 values, the network takes 8/));
    await assert.rejects(read(16, 'tiny_'), refused('tiny_token', /is missing; there are data_id, /));
    const other = { ...settings, splits: { ...settings.splits, train: { ...settings.splits.train, label_column: 'token_id' } } };
    await assert.rejects(
      testRows(data, other, () => Promise.resolve(), signal),
      refused('token_id', /holds 2, and only -1, 0, 1 can be/),
    );
    const empty = testRows(join(folder, 'nowhere'), settings, () => Promise.resolve(), signal);
    await assert.rejects(empty, /holds no \.parquet or \.arrow file/);
  });
});
