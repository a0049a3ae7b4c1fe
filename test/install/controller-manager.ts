import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { goProgramPaths } from '../cluster/go-programs.ts';
import { stderrProgress } from '../cluster/progress.ts';

/**
 * kube-controller-manager beside the test's API server: Deployments get pods (which no node takes), namespaces and owned objects go away when
 * they are deleted. @returns stops it
 */
export async function controllerManager(kubeconfigFile: string): Promise<() => void> {
  const { 'kube-controller-manager': program } = await goProgramPaths(['kube-controller-manager'], stderrProgress());
  const args = [
    `--kubeconfig=${kubeconfigFile}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    '--secure-port=0',
    '--kube-api-qps=200',
    '--kube-api-burst=400',
  ];
  // As the control plane's own: the kernel ends it with us, however we end.
  const setpriv = '/usr/bin/setpriv';
  const [command = program, ...rest] = existsSync(setpriv) ? [setpriv, '--pdeathsig', 'KILL', '--', program] : [program];
  const child = spawn(command, [...rest, ...args], { stdio: 'ignore' });
  child.unref();
  return () => {
    child.kill('SIGKILL');
  };
}
