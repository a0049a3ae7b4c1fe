import type { S3Settings } from '../model/fetch/index.ts';

/** Flags of the commands that ask an object store. */
export const s3Flags = {
  's3-endpoint': { type: 'string' },
  's3-region': { type: 'string' },
  's3-credentials': { type: 'string' },
  's3-ca': { type: 'string' },
} as const;

export const s3FlagsUsage = `  --s3-endpoint URL          the object store of s3:// addresses, such as https://minio.storage:9000   [Amazon's of the region]
  --s3-region REGION         its region                                         [$AWS_REGION, else us-east-1]
  --s3-credentials DIR       a folder with the files access-key-id, secret-access-key and perhaps session-token, or
                             AWS_ACCESS_KEY_ID and so on, such as a mounted Secret; read anew as they change
                                                                                [what the cloud gives the pod, else $AWS_…]
  --s3-ca FILE               PEM file of the authorities of its certificate     [those that Node trusts]`;

export type S3FlagValues = Readonly<Partial<Record<keyof typeof s3Flags, string | undefined>>>;

/** Whose parts are looked at when the store is asked: secrets may arrive later. */
export function s3Settings(values: S3FlagValues, environment: NodeJS.ProcessEnv): S3Settings {
  const given = (text: string | undefined): string | undefined => (text === '' ? undefined : text);
  return {
    endpoint: given(values['s3-endpoint']),
    region: given(values['s3-region']) ?? given(environment['AWS_REGION']),
    credentialsFolder: given(values['s3-credentials']),
    caFile: given(values['s3-ca']),
  };
}
