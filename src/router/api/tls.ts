import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { Log } from '../log.ts';
import { pollFiles } from '../polled-files.ts';
import type { Unsubscribe } from '../sources.ts';

export interface TlsFiles {
  /** PEM: the server's certificate, behind it those of the authorities between it and the root. */
  readonly certPath: string;
  /** PEM, without a password. */
  readonly keyPath: string;
}

export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate and a key that a server cannot use together. */
export class TlsError extends Error {
  override readonly name = 'TlsError';
  readonly code = 'TLS_INVALID';
}

/** @throws TlsError naming the file and what to do */
export function checkedPair(pair: KeyPair, { certPath, keyPath }: TlsFiles): KeyPair {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pair.cert);
  } catch (cause) {
    throw new TlsError(`${certPath} holds no certificate in PEM; give the file tls.crt of a TLS Secret`, { cause });
  }
  let isPair: boolean;
  try {
    isPair = certificate.checkPrivateKey(createPrivateKey(pair.key));
  } catch (cause) {
    throw new TlsError(`${keyPath} holds no private key in PEM without a password; give the file tls.key of a TLS Secret`, { cause });
  }
  if (!isPair) throw new TlsError(`the key in ${keyPath} does not belong to the certificate in ${certPath}; give both of one pair`);
  try {
    createSecureContext({ ...pair, minVersion: 'TLSv1.2' });
  } catch (cause) {
    throw new TlsError(`the certificate in ${certPath} cannot be used with its key`, { cause });
  }
  return pair;
}

/**
 * Reads a certificate and its key, and again when they change (within a second). A bad pair leaves the one before in force.
 *
 * @param renew hears each further good pair
 * @throws TlsError, or the system's error, when the first pair cannot be used
 */
export async function watchTlsFiles(
  files: TlsFiles,
  renew: (pair: KeyPair) => void,
  log: Log,
  everyMs?: number,
): Promise<{ readonly pair: KeyPair; readonly stop: Unsubscribe }> {
  const read = async (): Promise<KeyPair> => ({
    cert: await readFile(files.certPath, 'utf8'),
    key: await readFile(files.keyPath, 'utf8'),
  });
  const pair = checkedPair(await read(), files);
  let first = JSON.stringify(pair);
  const take = (text: string): void => {
    if (text === first) return;
    first = '';
    const next = checkedPair(JSON.parse(text) as KeyPair, files);
    renew(next);
    log.info({ ...files, validTo: new X509Certificate(next.cert).validTo }, 'TLS certificate renewed');
  };
  const stop = await pollFiles(
    async () => JSON.stringify(await read()),
    take,
    (err) => log.error({ ...files, err }, 'TLS certificate refused; the one before stays in force'),
    everyMs,
  );
  return { pair, stop };
}
