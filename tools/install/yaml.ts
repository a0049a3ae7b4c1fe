import { stringify } from 'yaml';

/** YAML for programs written in Go, which read it by version 1.1: there `Off` without quotes is false. */
export function kubernetesYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, version: '1.1' });
}
