import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { sha256, type HubFile, type HubServer } from '../fetch/hub-server.ts';

/** A repository as a hub has one, with weights of random bytes: nothing looks into them. */
export function repository(shardBytes: readonly number[] = [400_000, 300_000]): Record<string, HubFile> {
  const small = (text: string): HubFile => ({ bytes: Buffer.from(text), lfs: false });
  const shard = (index: number): string => `model-0000${index + 1}-of-0000${shardBytes.length}.safetensors`;
  const shards = Object.fromEntries(shardBytes.map((bytes, index) => [shard(index), { bytes: randomBytes(bytes), lfs: true }]));
  return {
    'README.md': small('# A model'),
    'config.json': small('{"model_type": "qwen3"}'),
    'generation_config.json': small('{}'),
    'model.safetensors.index.json': small('{"weight_map": {}}'),
    'pytorch_model.bin': { bytes: randomBytes(1_000), lfs: true },
    'tokenizer.json': { bytes: randomBytes(50_000), lfs: true },
    'tokenizer_config.json': small('{"chat_template": "x"}'),
    ...shards,
  };
}

/** Those of {@link repository} that are wanted, with their bytes. */
export function wantedOf(files: Readonly<Record<string, HubFile>>): ReadonlyMap<string, Buffer> {
  const wanted = Object.entries(files).filter(([path]) => path !== 'README.md' && !path.endsWith('.bin'));
  return new Map(wanted.sort().map(([path, { bytes }]) => [path, Buffer.from(bytes)]));
}

/** What lies in a model's folder, its manifest left out. */
export function filesIn(folder: string): ReadonlyMap<string, Buffer> {
  const names = readdirSync(folder).filter((name) => name !== 'r2r-model.json' && statSync(join(folder, name)).isFile());
  return new Map(names.sort().map((name) => [name, readFileSync(join(folder, name))]));
}

/** Has the storage host send in pieces, so that there is a middle; `piece` may end an answer early. */
export function slowly(hub: HubServer, pieceBytes: number, piece: () => Promise<boolean>): void {
  hub.intercept = async (request, response) => {
    if (request.host !== 'storage') return false;
    const digest = request.path.slice(1).split('?')[0];
    const file = [...hub.repositories.values()]
      .flatMap((commits) => [...commits.values()])
      .flatMap((files) => [...files.values()])
      .find(({ bytes }) => digestOf(bytes) === digest);
    if (!file) return false;
    const { length } = file.bytes;
    const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
    const range = { 'content-range': `bytes ${start}-${length - 1}/${length}` };
    response.writeHead(start > 0 ? 206 : 200, { 'content-length': String(length - start), ...(start > 0 && range) });
    for (let at = start; at < length && !response.destroyed; at += pieceBytes) {
      if (!(await piece())) {
        response.destroy();
        return true;
      }
      const bytes = file.bytes.subarray(at, at + pieceBytes);
      request.bytesSent += bytes.length;
      response.write(bytes);
    }
    response.end();
    return true;
  };
}

const digests = new WeakMap<Uint8Array, string>();
function digestOf(bytes: Uint8Array): string {
  const known = digests.get(bytes) ?? sha256(bytes);
  digests.set(bytes, known);
  return known;
}
