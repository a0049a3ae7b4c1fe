/** Can this machine run the local cluster at all? Asked before anything is touched. */
import { accessSync, constants } from 'node:fs';

export interface Machine {
  readonly platform: string;
  readonly userId: number | undefined;
  /** Whether apt-get is there to install what is missing. */
  readonly hasApt: boolean;
  readonly memoryBytes: number;
}

/** This machine cannot run the local cluster; the message says what is missing and what to do instead. */
export class PrerequisiteError extends Error {
  readonly code = 'CLUSTER_PREREQUISITE';

  constructor(missing: string) {
    super(
      `The local cluster cannot run here: ${missing}.\n` +
        'An existing cluster (Kubernetes 1.29 or newer, e.g. of kind or a cloud) does as well: give its kubectl context with `--context NAME`.',
    );
    this.name = 'PrerequisiteError';
  }
}

/** Throws {@link PrerequisiteError} when something is missing that cannot be installed. */
export function assertCanRun({ platform, userId, hasApt, memoryBytes }: Machine): void {
  if (platform !== 'linux') throw new PrerequisiteError(`it needs Linux, and this is ${platform}`);
  if (userId !== 0) throw new PrerequisiteError('it needs root (for containers, interfaces and firewall rules); run it with sudo');
  if (!hasApt)
    throw new PrerequisiteError('it installs containerd, etcd and others with apt-get (Debian 12 or newer, Ubuntu), which is not here');
  if (memoryBytes < 3e9) throw new PrerequisiteError(`it needs 3 GB of memory, and there is ${(memoryBytes / 1e9).toFixed(1)} GB`);
}

export function thisMachine(totalMemory: number): Machine {
  let hasApt = true;
  try {
    accessSync('/usr/bin/apt-get', constants.X_OK);
  } catch {
    hasApt = false;
  }
  return { platform: process.platform, userId: process.getuid?.(), hasApt, memoryBytes: totalMemory };
}
