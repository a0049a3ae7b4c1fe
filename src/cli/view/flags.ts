import { clusterFlags, clusterFlagsUsage } from '../cluster-access.ts';

/** Flags of commands that look at resources. */
export const viewFlags = {
  ...clusterFlags,
  'all-namespaces': { type: 'boolean', short: 'A', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

export const viewFlagsUsage = `  -A, --all-namespaces       of every namespace
${clusterFlagsUsage}`;
