/** A hub with the tiny models, run in a pod of the router's image, which has them: `node model-hub.ts <url of the hub> <url of its storage>`. */
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HubServer } from '../model/fetch/hub-server.ts';
import type { HubFile } from '../model/fetch/hub-server.ts';

const models = '/opt/r2r/examples/models';
/** Of each connection: slow enough to be seen, fast enough for a test. */
const [pieceBytes, pauseMs] = [4_096, 100];

const [, , hubUrl = '', storageUrl = ''] = process.argv;
const hub = await new HubServer().start([
  { port: 8080, url: hubUrl },
  { port: 8081, url: storageUrl },
]);
for (const name of ['slm', 'llm', 'verifier']) {
  const files = readdirSync(`${models}/${name}`).map((path): readonly [string, HubFile] => {
    const bytes = readFileSync(`${models}/${name}/${path}`);
    return [path, { bytes, lfs: bytes.length > 20_000 }];
  });
  hub.commit(`tiny/${name}`, Object.fromEntries(files));
}
hub.tokens.set('tiny/verifier', ['nobody has it']);
hub.gated.add('tiny/verifier');

hub.intercept = (request, response) => {
  if (request.host === 'storage') {
    const end = response.end.bind(response);
    const slowly = async (body: Buffer): Promise<void> => {
      for (let at = 0; at < body.length && !response.destroyed; at += pieceBytes) {
        response.write(body.subarray(at, at + pieceBytes));
        await sleep(pauseMs);
      }
      end();
    };
    response.end = ((body?: Buffer) => {
      void slowly(body ?? Buffer.alloc(0));
      return response;
    }) as typeof response.end;
  }
  return false;
};
console.log(`the hub is at ${hubUrl}`);
