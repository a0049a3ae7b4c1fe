import { clientApi, type ApiOptions } from '../api.ts';
import { Listening, type ListeningOptions } from '../listening.ts';
import type { PromptModel } from '../prompt.ts';
import type { Unsubscribe } from '../sources.ts';
import { Admission, type AdmissionLimits } from './admission.ts';
import { watchApiKeys } from './api-keys.ts';
import { Preparer } from './preparer.ts';
import { watchTlsFiles, type TlsFiles } from './tls.ts';

export interface ApiServerOptions extends Omit<ApiOptions, 'keys' | 'admission' | 'preparer'> {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly promptModel: PromptModel;
  /** The folder that `promptModel` was read from. */
  readonly modelPath: string;
  readonly admissionLimits: () => AdmissionLimits;
  /** A file with a key a line, or a folder of such files. Left out: everybody is served. */
  readonly apiKeysPath?: string;
  /** Left out: plain HTTP. */
  readonly tls?: TlsFiles;
  /** Starts the thread for large requests at once instead of with the first one, which then need not wait for it. @default false */
  readonly warm?: boolean;
  /** How long clients may take to send. */
  readonly timeouts?: Pick<ListeningOptions, 'headersTimeoutMs' | 'requestTimeoutMs'>;
}

/** The client API on its port. */
export interface ApiServer {
  readonly url: string;
  /** Requests that wait for their turn. */
  readonly queuedRequests: number;
  /** What keeps every client out, in words; undefined when nothing does. */
  readonly waitingFor: string | undefined;
  /** Takes no more connections; resolves when all requests are answered, or cuts them after `timeoutMs`. @returns whether none was cut */
  close(timeoutMs: number): Promise<boolean>;
}

/** @throws TlsError for a certificate that cannot be used, or the system's error for a taken address */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { log, tls: files, apiKeysPath, host, port } = options;
  const stops: Unsubscribe[] = [];
  let renew: Listening['renew'] = () => undefined;
  const watched = files && (await watchTlsFiles(files, (pair) => renew(pair), log));
  if (watched) stops.push(watched.stop);
  const auth = apiKeysPath === undefined ? undefined : await watchApiKeys(apiKeysPath, log);
  if (auth) stops.push(auth.stop);
  const admission = new Admission(options.admissionLimits);
  const preparer = new Preparer(options.promptModel, options.modelPath);
  if (options.warm) preparer.warm();
  const app = clientApi({ ...options, admission, preparer, ...(auth && { keys: auth.keys }) });
  try {
    const listening = await Listening.on(app, host, port, { ...options.timeouts, ...(watched && { tls: watched.pair }) });
    renew = (pair) => listening.renew(pair);
    return {
      url: listening.url,
      get queuedRequests() {
        return admission.queued;
      },
      get waitingFor() {
        return auth?.keys.size === 0 ? `an API key in ${apiKeysPath}` : undefined;
      },
      async close(timeoutMs) {
        const whole = await listening.close(timeoutMs);
        for (const stop of stops) stop();
        await preparer.close();
        await options.tracer.close();
        return whole;
      },
    };
  } catch (error) {
    for (const stop of stops) stop();
    throw error;
  }
}
