import { z } from 'zod';
import { rules } from './cel.ts';
import { secretName } from './endpoint-spec.ts';

/** One key of a Secret in the resource's namespace. It is mounted, never read through the API server. */
export const secretKeyRef = z.object({
  name: secretName('name', 'The Secret, in the same namespace.'),
  key: z
    .string()
    .min(1)
    .max(253)
    .meta(rules({ rule: "self.matches('^[-._a-zA-Z0-9]+$')", message: 'key: must be a key of the Secret: letters, digits and - _ .' }))
    .describe('The key in the Secret whose value is the token.'),
});

export type SecretKeyRef = z.infer<typeof secretKeyRef>;
