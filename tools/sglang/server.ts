/** A real SGLang server on this machine, for tests: on a free port of the loopback interface, in a process group that does not outlive us. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { duration, type Progress, stderrProgress } from '../../test/cluster/progress.ts';
import { installSGLang, type SGLangInstallation } from './install.ts';
import { sglangCpuArgs, sglangEnvironment, sglangMemFraction } from './on-cpu.ts';

export interface SGLangOptions {
  /** A Hugging Face folder. */
  readonly modelPath: string;
  readonly servedModelName: string;
  /** After the flags it has anyway, so that they win. */
  readonly extraArgs?: readonly string[];
  /** Longest sequence in tokens. @default 2048 */
  readonly contextLength?: number;
  /** How long it may take to become ready; its imports alone take half a minute. @default 5 minutes */
  readonly timeoutMs?: number;
  /** @default lines on standard error */
  readonly progress?: Progress;
}

export interface SGLangServer extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  readonly pid: number;
  /** The last 20,000 characters that it printed. */
  log(): string;
  /** Kills it and waits until it is gone. SIGTERM would first wait for every request, some of which never end. */
  stop(): Promise<void>;
}

/** SGLang did not become ready, or ended; the message holds its last lines. */
export class SGLangServerError extends Error {
  readonly code = 'SGLANG_SERVER';

  constructor(message: string, log: string) {
    super(`${message}\n${log.trimEnd().split('\n').slice(-25).join('\n')}`);
    this.name = 'SGLangServerError';
  }
}

/** Starts a server (installing SGLang first if need be) and resolves when it is ready. Throws {@link SGLangServerError}. */
export async function launchSGLang(options: SGLangOptions): Promise<SGLangServer> {
  const progress = options.progress ?? stderrProgress();
  const installation = await installSGLang(progress);
  const url = `http://127.0.0.1:${await freePort()}`;
  const server = start(installation, url, options);
  const started = Date.now();
  try {
    await ready(server, url, options.timeoutMs ?? 5 * 60_000);
  } catch (error) {
    await server.stop();
    throw error;
  }
  progress(`SGLang serves ${options.servedModelName} after ${duration(Date.now() - started)}`);
  return server;
}

interface RunningServer extends SGLangServer {
  /** Exit status or signal, once it has ended. */
  ended(): string | undefined;
}

function start({ python }: SGLangInstallation, url: string, options: SGLangOptions): RunningServer {
  const { modelPath, servedModelName, contextLength = 2048, extraArgs = [] } = options;
  const { hostname, port } = new URL(url);
  // The kernel kills the server when we die, and its children watch for its death in turn.
  const command = ['--pdeathsig', 'KILL', 'nice', '-n', '5', python, '-m', 'sglang.launch_server'];
  const model = ['--model-path', modelPath, '--served-model-name', servedModelName, '--host', hostname, '--port', port];
  const common = ['--context-length', String(contextLength), '--mem-fraction-static', String(sglangMemFraction), '--enable-metrics'];
  const args = [...command, ...model, ...common, '--enable-return-hidden-states', ...sglangCpuArgs, ...extraArgs];
  const child = spawn('setpriv', args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...sglangEnvironment },
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-20_000)));
  }
  child.on('error', (error) => (log += error.message));
  const closed = once(child, 'close').catch(() => undefined);
  const ended = () => {
    if (child.pid === undefined) return 'it could not be started';
    return child.signalCode ?? (child.exitCode === null ? undefined : `exit status ${child.exitCode}`);
  };
  const stop = async () => {
    if (child.pid === undefined) return;
    killGroup(child.pid);
    await closed;
  };
  return { url, pid: child.pid ?? 0, log: () => log, ended, stop, [Symbol.asyncDispose]: stop };
}

async function ready(server: RunningServer, url: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const ended = server.ended();
    if (ended !== undefined) throw new SGLangServerError(`SGLang ended before it was ready: ${ended}`, server.log());
    const answer = await fetch(`${url}/ready`, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.status === 200) return;
    if (Date.now() > deadline) throw new SGLangServerError(`SGLang is not ready after ${duration(timeoutMs)}`, server.log());
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** Its scheduler and detokenizer are processes of the same group. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
