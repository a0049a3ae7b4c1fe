/** The cluster's own certificate authority, valid for this one cluster only, and a certificate for each of its programs. */
import { generateKeyPairSync } from 'node:crypto';
import { access, chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './commands.ts';
import { paths, settings } from './settings.ts';

interface Certificate {
  /** The user name that Kubernetes sees. */
  readonly commonName: string;
  /** The group that Kubernetes sees. */
  readonly organization?: string;
  /** Names and addresses of a server, in OpenSSL's form. A certificate without is a client's. */
  readonly serves?: readonly string[];
}

const { nodeAddress, nodeName, clusterDomain, kubernetesServiceAddress } = settings;
const kubernetesNames = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', `kubernetes.default.svc.${clusterDomain}`];

const certificates = {
  apiserver: {
    commonName: 'kube-apiserver',
    serves: [...kubernetesNames.map((name) => `DNS:${name}`), `IP:${nodeAddress}`, `IP:${kubernetesServiceAddress}`],
  },
  etcd: { commonName: 'etcd', serves: [`IP:${nodeAddress}`] },
  'kubelet-server': { commonName: nodeName, serves: [`DNS:${nodeName}`, `IP:${nodeAddress}`] },
  'apiserver-client': { commonName: 'kube-apiserver-client', organization: 'system:masters' },
  admin: { commonName: 'r2r-local-admin', organization: 'system:masters' },
  kubelet: { commonName: `system:node:${nodeName}`, organization: 'system:nodes' },
  'kube-controller-manager': { commonName: 'system:kube-controller-manager' },
  'kube-scheduler': { commonName: 'system:kube-scheduler' },
  'kube-proxy': { commonName: 'system:kube-proxy' },
  coredns: { commonName: 'r2r:coredns' },
} as const satisfies Record<string, Certificate>;
export type CertificateName = keyof typeof certificates;

/** `{pki}/NAME.crt` and `{pki}/NAME.key`; `ca.crt` is the authority. */
export const certificateFile = (name: CertificateName | 'ca'): string => join(paths.pki, `${name}.crt`);
export const keyFile = (name: CertificateName | 'ca' | 'service-accounts'): string => join(paths.pki, `${name}.key`);

/** OpenSSL's request configuration for one certificate. */
export function opensslRequest({ commonName, organization, serves }: Certificate, isAuthority = false): string {
  const subject = [...(organization ? [`O = ${organization}`] : []), `CN = ${commonName}`];
  const constraints = isAuthority
    ? ['basicConstraints = critical, CA:TRUE', 'keyUsage = critical, keyCertSign, cRLSign']
    : ['basicConstraints = critical, CA:FALSE', `extendedKeyUsage = ${serves ? 'serverAuth, clientAuth' : 'clientAuth'}`];
  const names = serves ? [`subjectAltName = ${serves.join(', ')}`] : [];
  return [
    '[req]',
    'prompt = no',
    'distinguished_name = subject',
    '[subject]',
    ...subject,
    '[extensions]',
    ...constraints,
    ...names,
    '',
  ].join('\n');
}

async function create(openssl: string, name: CertificateName | 'ca', certificate: Certificate): Promise<void> {
  const configuration = join(paths.pki, `${name}.cnf`);
  await writeFile(configuration, opensslRequest(certificate, name === 'ca'));
  const signer = name === 'ca' ? [] : ['-CA', certificateFile('ca'), '-CAkey', keyFile('ca')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile(name)];
  const common = ['req', '-x509', '-config', configuration, '-extensions', 'extensions', '-days', '3650'];
  await run(openssl, [...common, ...key, ...signer, '-out', certificateFile(name)]);
  await chmod(keyFile(name), 0o600);
}

/** Makes the authority and all certificates, unless they are there already. */
export async function createCertificates(openssl: string): Promise<void> {
  const done = join(paths.pki, 'complete');
  const isDone = await access(done).then(
    () => true,
    () => false,
  );
  if (isDone) return;
  await mkdir(paths.pki, { recursive: true, mode: 0o700 });
  await create(openssl, 'ca', { commonName: 'r2r-local' });
  await Promise.all(Object.entries(certificates).map(([name, certificate]) => create(openssl, name as CertificateName, certificate)));
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await writeFile(keyFile('service-accounts'), privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 });
  await writeFile(done, '');
}
