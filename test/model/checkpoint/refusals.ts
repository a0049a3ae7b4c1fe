import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CheckpointError } from '../../../src/model/checkpoint/errors.ts';
import { readCheckpoint } from '../../../src/model/checkpoint/read-checkpoint.ts';
import type { Checkpoint } from '../../../src/model/checkpoint/checkpoint.ts';
import type { CheckpointLimits } from '../../../src/model/checkpoint/limits.ts';

/** A folder for the checkpoints of one test file. */
export class Checkpoints {
  folder = '';

  async start(): Promise<void> {
    this.folder = await mkdtemp(join(tmpdir(), 'r2r-checkpoint-'));
  }

  async stop(): Promise<void> {
    await rm(this.folder, { recursive: true });
  }

  async write(bytes: Buffer): Promise<string> {
    const path = join(this.folder, 'router.pt');
    await writeFile(path, bytes);
    return path;
  }

  async read<T>(bytes: Buffer, use: (checkpoint: Checkpoint) => T | Promise<T>): Promise<T> {
    const checkpoint = await readCheckpoint(await this.write(bytes));
    try {
      return await use(checkpoint);
    } finally {
      await checkpoint.close();
    }
  }

  async refused(bytes: Buffer, code: string, message: RegExp, limits: Partial<CheckpointLimits> = {}): Promise<void> {
    const path = await this.write(bytes);
    await assert.rejects(readCheckpoint(path, limits), (error) => {
      assert.ok(error instanceof CheckpointError, String(error instanceof Error ? error.stack : error));
      assert.match(error.message, message);
      assert.equal(error.code, code, error.message);
      assert.ok(error.message.startsWith(`${path}: `) && error.message.includes('; '), 'names the file and the fix');
      return true;
    });
  }
}
