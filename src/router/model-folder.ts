import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

const configJson = z.object({ vocab_size: z.number().int().positive(), max_position_embeddings: z.number().int().positive() });

/** What a model's folder says that the router needs besides the tokenizer. */
export interface ModelFacts {
  /** Size of the embedding, padding included: an id at or above it kills the model's server. */
  readonly vocabSize: number;
  /** Longest sequence the model was made for; its server may allow less. */
  readonly maxPositions: number;
  /** Undefined when the folder holds no safetensors. */
  readonly parameters: number | undefined;
}

/** @throws Error naming the file when config.json is missing or lacks a field */
export async function readModelFacts(folder: string): Promise<ModelFacts> {
  const path = join(folder, 'config.json');
  let config: z.infer<typeof configJson>;
  try {
    config = configJson.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    throw new Error(`${path} cannot be read as a model's configuration; give a Hugging Face model folder`, { cause });
  }
  return { vocabSize: config.vocab_size, maxPositions: config.max_position_embeddings, parameters: await countParameters(folder) };
}

const headerJson = z.record(z.string(), z.union([z.object({ shape: z.array(z.number()) }), z.record(z.string(), z.string())]));

/** Adds up the tensors' shapes in the headers of all safetensors files; tied weights are stored, and so counted, once. */
async function countParameters(folder: string): Promise<number | undefined> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.safetensors'));
  let total = 0;
  for (const name of files) {
    const file = await open(join(folder, name));
    try {
      const { buffer: length } = await file.read(Buffer.alloc(8), 0, 8, 0);
      const bytes = Number(length.readBigUInt64LE());
      // The format's own limit for a header.
      if (bytes > 100_000_000) return undefined;
      const { buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, 8);
      const header = headerJson.parse(JSON.parse(buffer.toString('utf8')));
      for (const [tensor, entry] of Object.entries(header))
        if (tensor !== '__metadata__' && Array.isArray(entry['shape']))
          total += entry['shape'].reduce((product, side) => product * side, 1);
    } finally {
      await file.close();
    }
  }
  return files.length > 0 ? total : undefined;
}
