import { z } from 'zod';
import { rules } from './cel.ts';

/** Namespace of a Prometheus that a network policy lets in, as the value of `monitoringNamespace`. */
export function monitoringNamespace(description: string) {
  return z
    .string()
    .min(1)
    .max(63)
    .meta(
      rules({
        rule: "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        message: 'monitoringNamespace: must be a namespace name: lower-case letters, digits and -',
      }),
    )
    .optional()
    .describe(description);
}
