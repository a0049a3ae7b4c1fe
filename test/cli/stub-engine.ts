/**
 * A model server's outside, as launchers see it: `/ready`, `/health`, SIGTERM. It writes what happens to it into a file that several share.
 *
 *     node stub-engine.ts NAME PORT EVENTS [ready-after-ms | never] [deaf]
 *
 * `POST /die` ends it with 3, `POST /sicken` makes `/ready` and `/health` say no. Under the name NAME-child it has a child that outlives it unless killed.
 */
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [name = '', port = '', events = '', readyAfter = '0', ...traits] = process.argv.slice(2);
const tell = (event: string): void => appendFileSync(events, `${name} ${event}\n`);
const began = Date.now();
let sick = false;

tell(`start ${process.env.CUDA_VISIBLE_DEVICES ?? ''}`.trim());
if (process.argv.includes('--mem-fraction-static')) tell(`share ${process.argv.at(-1)}`);
const child = spawn('sleep', ['600'], { stdio: 'ignore' });
tell(`child ${child.pid}`);

const server = createServer((request, response) => {
  if (request.url === '/die') process.exit(3);
  if (request.url === '/sicken') sick = true;
  const ready = readyAfter !== 'never' && Date.now() - began >= Number(readyAfter);
  const good = request.url === '/ready' ? ready && !sick : !sick;
  response.writeHead(good ? 200 : 503, { connection: 'close' }).end();
});
process.on('SIGTERM', () => {
  tell('SIGTERM');
  if (traits.includes('deaf')) return;
  setTimeout(() => {
    tell('end');
    process.exit(0);
  }, 300);
});

server.listen(Number(port), '127.0.0.1', () => tell('listens'));
