/** The router under test, a process of its own: takes its set-up as JSON, then orders from the process that started it. */
import type { RouterConfigInput } from '../../src/api/router-config.ts';
import { fixedEndpoints, startRouter } from '../../src/router/index.ts';
import { Instruments, type Reading } from './instruments.ts';
import { emulatedNetwork, realNetwork } from './networks.ts';

export interface ServeOptions {
  readonly slmUrl: string;
  readonly llmUrl: string;
  readonly modelFolder: string;
  /** Absent: a network on a GPU is emulated. */
  readonly bundleFolder?: string;
  readonly networkMs: number;
}

export type Order =
  { readonly type: 'configure'; readonly config: RouterConfigInput } | { readonly type: 'reset' } | { readonly type: 'read' };
export type Report = { readonly url: string; readonly adminUrl: string } | { readonly reading: Reading } | { readonly done: true };

const options = JSON.parse(process.argv[2] ?? '{}') as ServeOptions;
const instruments = new Instruments();
let listener: (text: string) => void = () => undefined;
const quiet = { info: () => undefined, warn: console.warn, error: console.error };
const router = await startRouter({
  slmUrl: options.slmUrl,
  slmModelPath: options.modelFolder,
  llmModelPath: options.modelFolder,
  config: {
    subscribe(given) {
      listener = given;
      return () => undefined;
    },
  },
  endpoints: fixedEndpoints([options.llmUrl]),
  loadNetwork:
    options.bundleFolder === undefined ? emulatedNetwork(options.networkMs) : realNetwork(options.bundleFolder, options.modelFolder),
  log: quiet,
  metrics: instruments,
  host: '127.0.0.1',
  port: 0,
  adminHost: '127.0.0.1',
  adminPort: 0,
  drainDelayMs: 0,
});
const report = (value: Report): void => void process.send?.(value);
process.on('message', (order: Order) => {
  if (order.type === 'configure') listener(JSON.stringify(order.config));
  if (order.type === 'reset') instruments.reset();
  report(order.type === 'read' ? { reading: instruments.read() } : { done: true });
});
report({ url: router.url, adminUrl: router.adminUrl });
// Ends with its parent; when told to, in order, so that no run of the network is cut short and a profile is written.
process.once('SIGTERM', () => void router.stop().finally(() => process.exit())).once('disconnect', () => process.exit());
