import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installSglang } from './install.ts';

export interface SglangOptions {
  /** A Hugging Face model folder. */
  readonly model: string;
  /** Default: any free port. */
  readonly port?: number;
  /** Default: 127.0.0.1. */
  readonly host?: string;
  readonly servedModelName?: string;
  /** Default: 2048. */
  readonly contextLength?: number;
  /** More flags of `sglang.launch_server`. */
  readonly extraArgs?: readonly string[];
  /** Told what takes time. */
  readonly log?: (line: string) => void;
}

/** A running server. */
export interface RunningSglang {
  readonly url: string;
  /** Where it writes what it does. */
  readonly logFile: string;
  /** Whether the process still lives: some requests kill it. */
  readonly alive: () => boolean;
  /** Kills it and all its processes (a drain can hang); resolves when the server is gone. */
  stop(): Promise<void>;
}

/** What a CPU-only SGLang needs in its environment. */
export const sglangEnvironment = {
  SGLANG_USE_CPU_ENGINE: '1',
  // saves 10 to 15 s of compilation at the first decode step
  TORCHDYNAMO_DISABLE: '1',
  HF_HUB_OFFLINE: '1',
  TRANSFORMERS_OFFLINE: '1',
  OMP_NUM_THREADS: '1',
  TOKENIZERS_PARALLELISM: 'false',
  PYTHONWARNINGS: 'ignore',
} as const;

/** Flags for a CPU: one device, torch's own attention, nothing that needs CUDA. */
export const sglangCpuFlags: readonly string[] = [
  ...['--device', 'cpu', '--attention-backend', 'torch_native', '--sampling-backend', 'pytorch'],
  ...['--disable-cuda-graph', '--disable-overlap-schedule', '--enable-return-hidden-states', '--enable-metrics'],
  ...['--max-total-tokens', '16384', '--max-running-requests', '16', '--mem-fraction-static', '0.3', '--random-seed', '1'],
];

const startTimeoutMs = 10 * 60_000;
const pollMs = 500;

async function freePort(host: string): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, host, resolve);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function answers(url: string): Promise<boolean> {
  return fetch(`${url}/health`, { signal: AbortSignal.timeout(30_000) }).then(
    ({ status }) => status === 200,
    () => false,
  );
}

/** Installs SGLang if need be, starts it on a model and waits until it serves. Throws with the end of its log if it dies. */
export async function launchSGLang(options: SglangOptions): Promise<RunningSglang> {
  const log = options.log ?? (() => undefined);
  const { python } = await installSglang(log);
  const host = options.host ?? '127.0.0.1';
  const port = options.port ?? (await freePort(host));
  const logFile = join(mkdtempSync(join(tmpdir(), 'r2r-sglang-')), 'server.log');
  const output = openSync(logFile, 'w');
  const flags = [
    '--model-path',
    options.model,
    '--host',
    host,
    '--port',
    String(port),
    '--context-length',
    String(options.contextLength ?? 2048),
  ];
  const named = options.servedModelName === undefined ? [] : ['--served-model-name', options.servedModelName];
  log(`starting SGLang on ${options.model} (a minute or more; log: ${logFile})`);
  const child = spawn(python, ['-m', 'sglang.launch_server', ...flags, ...named, ...sglangCpuFlags, ...(options.extraArgs ?? [])], {
    // its own process group, so that all its processes can be killed at once
    detached: true,
    stdio: ['ignore', output, output],
    env: { ...process.env, ...sglangEnvironment },
  });
  closeSync(output);
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const alive = () => child.exitCode === null && child.signalCode === null;
  const kill = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // the group is gone already
    }
  };
  process.once('exit', kill);
  const stop = async () => {
    kill();
    await gone;
    process.removeListener('exit', kill);
  };
  const url = `http://${host}:${port}`;
  const deadline = Date.now() + startTimeoutMs;
  while (!(await answers(url))) {
    if (alive() && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, pollMs));
      continue;
    }
    const tail = (await readFile(logFile, 'utf8')).trim().split('\n').slice(-15).join('\n');
    await stop();
    throw new Error(`SGLang ${alive() ? 'did not serve in time' : 'died'}; the end of its log:\n${tail}`);
  }
  return { url, logFile, alive, stop };
}
