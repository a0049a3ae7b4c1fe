import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readArchive } from '../../../src/model/checkpoint/archive.ts';
import { CheckpointFile } from '../../../src/model/checkpoint/checkpoint-file.ts';
import { CheckpointError } from '../../../src/model/checkpoint/errors.ts';
import { defaultCheckpointLimits } from '../../../src/model/checkpoint/limits.ts';
import { readCheckpoint } from '../../../src/model/checkpoint/read-checkpoint.ts';
import { mutated, type Sample } from './mutations.ts';

/** Files in work at once: most of the time is spent waiting for the file system. */
const lanes = 4;
const maxCaseMs = 1000;
/** Above what the process had before; a file that claims 4 GiB and is believed takes more. */
const maxGrowthBytes = 600 * 2 ** 20;

export interface FuzzReport {
  cases: number;
  /** Files that are still sound. */
  accepted: number;
  readonly refused: Map<string, number>;
  slowestMs: number;
  elapsedMs: number;
  peakGrowthBytes: number;
}

async function sampleOf(path: string): Promise<Sample> {
  const bytes = await readFile(path);
  const file = await CheckpointFile.open(path);
  const entries = await readArchive(file, defaultCheckpointLimits);
  await file.close();
  return {
    bytes,
    entries: [...entries.values()].map(({ name, offset, size }) => ({
      name: `router/${name}`,
      data: bytes.subarray(offset, offset + size),
    })),
  };
}

/** Reads a file and every tensor in it: the code of its refusal, or undefined. Any other error is the caller's. */
async function outcome(path: string): Promise<string | undefined> {
  try {
    const checkpoint = await readCheckpoint(path);
    try {
      for (const tensor of checkpoint.tensors.values()) {
        const values = await tensor.read();
        assert.equal(
          values.length,
          tensor.shape.reduce((product, size) => product * size, 1),
        );
      }
    } finally {
      await checkpoint.close();
    }
    return undefined;
  } catch (error) {
    if (error instanceof CheckpointError) return error.code;
    throw error;
  }
}

/**
 * Reads `cases` mutated checkpoints, stopping after `limitMs`. Each must be read, or refused by a `CheckpointError`, within a second and without
 * a growth of memory. An error names the seed, and `seed` alone makes the file again.
 */
export async function fuzz(options: { readonly firstSeed: number; readonly cases: number; readonly limitMs: number }): Promise<FuzzReport> {
  const fixtures = globSync(join(import.meta.dirname, 'fixtures/torch-*/*.pt')).filter((path) => !path.includes('refused-'));
  const samples = await Promise.all(fixtures.sort().map(sampleOf));
  const folder = await mkdtemp(join(tmpdir(), 'r2r-fuzz-'));
  const before = process.memoryUsage().rss;
  const started = performance.now();
  const report: FuzzReport = { cases: 0, accepted: 0, refused: new Map(), slowestMs: 0, elapsedMs: 0, peakGrowthBytes: 0 };
  let next = 0;

  async function lane(path: string): Promise<void> {
    while (next < options.cases && performance.now() - started < options.limitMs) {
      const seed = options.firstSeed + next++;
      await writeFile(path, mutated(samples, seed));
      let ms = Infinity;
      let code: string | undefined;
      // a second and third try where the machine, and not the file, may have been slow
      for (let tries = 0; tries < 3 && ms > maxCaseMs; tries++) {
        const start = performance.now();
        code = await outcome(path).catch((cause: unknown) => {
          throw new Error(`seed ${seed}: neither a checkpoint nor a CheckpointError`, { cause });
        });
        ms = performance.now() - start;
      }
      assert.ok(ms <= maxCaseMs, `seed ${seed}: took ${ms} ms`);
      if (code === undefined) report.accepted++;
      else report.refused.set(code, (report.refused.get(code) ?? 0) + 1);
      report.slowestMs = Math.max(report.slowestMs, ms);
      report.peakGrowthBytes = Math.max(report.peakGrowthBytes, process.memoryUsage.rss() - before);
      assert.ok(report.peakGrowthBytes < maxGrowthBytes, `seed ${seed}: memory grew by ${report.peakGrowthBytes} bytes`);
      report.cases++;
    }
  }

  try {
    await Promise.all(Array.from({ length: lanes }, (_, index) => lane(join(folder, `${index}.pt`))));
    report.elapsedMs = performance.now() - started;
    return report;
  } finally {
    await rm(folder, { recursive: true });
  }
}
