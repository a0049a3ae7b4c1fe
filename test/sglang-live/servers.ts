import { readFileSync } from 'node:fs';
import { launchSGLang, type SGLangServer } from '../../tools/sglang/server.ts';
import { tinyModels } from '../router/tiny-pair.ts';

/** A real server, and what a fault needs to know of it. */
export interface LiveServer extends Pick<SGLangServer, 'url' | 'pid'> {
  /** Halts all of its processes where they stand. */
  freeze(): void;
  /** Lets them go on. */
  thaw(): void;
  /** Ends them all at once, as a crash would. */
  kill(): void;
}

/** Real SGLang servers of the two example models. */
export interface LivePair {
  readonly slm: LiveServer;
  readonly llm: LiveServer;
}

let pair: Promise<LivePair> | undefined;
const stops: (() => Promise<void>)[] = [];

/**
 * The servers that the files of this folder share, since each takes a minute of processor time to start: started for the first file that
 * asks, ended with the last. `R2R_TEST_SGLANG=FILE` uses a pair that runs already; the file is `{"slm": {"url", "pid"}, "llm": {"url", "pid"}}`.
 */
export function liveServers(): Promise<LivePair> {
  return (pair ??= start());
}

after(async () => {
  await Promise.all(stops.map((stop) => stop()));
});

async function start(): Promise<LivePair> {
  const running = process.env.R2R_TEST_SGLANG;
  if (running) {
    const { slm, llm } = JSON.parse(readFileSync(running, 'utf8')) as Record<'slm' | 'llm', Pick<SGLangServer, 'url' | 'pid'>>;
    return { slm: withFaults(slm), llm: withFaults(llm) };
  }
  const launch = async (modelPath: string, servedModelName: string): Promise<LiveServer> => {
    const server = await launchSGLang({ modelPath, servedModelName, timeoutMs: 10 * 60_000 });
    stops.push(() => server.stop());
    return withFaults(server);
  };
  const [slm, llm] = await Promise.all([launch(tinyModels.slm, 'tiny-slm'), launch(tinyModels.llm, 'tiny-llm')]);
  return { slm, llm };
}

function withFaults({ url, pid }: Pick<SGLangServer, 'url' | 'pid'>): LiveServer {
  const signal = (name: NodeJS.Signals): void => void process.kill(-pid, name);
  return { url, pid, freeze: () => signal('SIGSTOP'), thaw: () => signal('SIGCONT'), kill: () => signal('SIGKILL') };
}
