import { createHash } from 'node:crypto';
import { routerConfigSchema, type RouterConfig } from '../api/router-config.ts';

/** A configuration in force. */
export interface ConfigInForce {
  readonly config: RouterConfig;
  /** sha256 (hex) of the JSON text it was read from. */
  readonly digest: string;
}

/** The configuration text is not a RouterConfig. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'CONFIG_INVALID';
}

/** @throws ConfigError naming the field */
export function readConfig(text: string): ConfigInForce {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError('the router configuration is not JSON', { cause });
  }
  const parsed = routerConfigSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new ConfigError(`the router configuration is wrong at ${issue?.path.join('.') || 'its top'}: ${issue?.message ?? 'invalid'}`, {
      cause: parsed.error,
    });
  }
  return { config: parsed.data, digest: createHash('sha256').update(text).digest('hex') };
}
