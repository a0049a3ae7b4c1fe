/** That the label set is what its readers in Python expect: pyarrow, which `datasets` reads with, and our trainer. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LabelRow } from '../../../src/pipeline/tables.ts';
import { run } from '../../cluster/commands.ts';
import { labelSet, type LabelledQuestion, type LabelSet } from './label-set.ts';

const trainer = join(import.meta.dirname, '../../../trainer');
const env = { ...process.env, OMP_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' };

/** The schema, and all rows in the order of the files. */
const withArrow = `
import glob, json, sys
import pyarrow.parquet as pq
tables = [pq.read_table(file) for file in sorted(glob.glob(sys.argv[1] + "/data/*.parquet"))]
fields = [[field.name, str(field.type.value_type if "list" in str(field.type) else field.type), "list" in str(field.type)] for field in tables[0].schema]
print(json.dumps({"fields": fields, "rows": [row for table in tables for row in table.to_pylist()]}))`;

/** Splits and rows as the trainer finds them, and how wide it takes their vectors to be. */
const withTrainer = `
import json, sys
from pathlib import Path
from r2r_trainer.features import widths
from r2r_trainer.label_set import find_files, list_groups
files = find_files(Path(sys.argv[1]))
groups = {split: list_groups(paths) for split, paths in files.items()}
hidden, logits = widths(groups["train"][0], "small_", ("hidden_states", "token", "logits"))
print(json.dumps({"rows": {split: sum(group.rows for group in found) for split, found in groups.items()}, "hidden": hidden, "logits": logits}))`;

const question = (dataId: number): LabelledQuestion => ({
  dataId,
  positions: [
    { tokenId: 5, real: 1, next: 2, slm: 2 },
    { tokenId: 6, real: 2, next: 3, slm: 4, verdict: 1 },
    { tokenId: 7, real: 3, next: 4, slm: 5, verdict: dataId % 2 === 0 ? 0 : -1 },
  ],
});

describe('a label set', function () {
  this.timeout(600_000);
  let folder: string;
  let python: string;
  let made: LabelSet;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'r2r-labels-'));
    python = (await run(join(trainer, 'setup.sh'), [], { env, timeoutMs: 590_000 })).trim();
    made = await labelSet(
      folder,
      Array.from({ length: 10 }, (_, dataId) => question(dataId)),
    );
  });
  after(() => rmSync(folder, { recursive: true }));

  it('has the columns and types of the original, and the numbers that were put in', async () => {
    const read = JSON.parse(await run(python, ['-c', withArrow, made.folder], { env })) as {
      readonly fields: unknown;
      readonly rows: readonly Record<keyof LabelRow, number | number[]>[];
    };
    assert.deepEqual(read.fields, [
      ...['token_id', 'data_id', 'divergent', 'small_token', 'real_token'].map((name) => [name, 'int64', false]),
      ['small_logits', 'float', true],
      ['small_indices', 'int64', true],
      ['small_last_hidden_states', 'float', true],
      ...['mismatch', 'mask'].map((name) => [name, 'int64', false]),
    ]);
    const key = (row: { readonly data_id: unknown; readonly token_id: unknown }) => `${String(row.data_id)}/${String(row.token_id)}`;
    const ours = new Map(made.rows.map((row) => [key(row), row]));
    assert.equal(read.rows.length, 30);
    for (const row of read.rows) {
      const plain = Object.entries(ours.get(key(row))!).map(([name, value]) => [
        name,
        typeof value === 'number' ? value : Array.from(value),
      ]);
      assert.deepEqual(row, Object.fromEntries(plain));
    }
  });

  it('is found by the trainer, each split and all of its rows', async () => {
    const found = JSON.parse(await run(python, ['-c', withTrainer, made.folder], { env, cwd: trainer })) as unknown;
    assert.deepEqual(found, { rows: { train: 24, validation: 3, test: 3 }, hidden: 6, logits: 5 });
  });
});
