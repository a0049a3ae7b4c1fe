import { z } from 'zod';
import { rules } from './cel.ts';
import type { Scheme } from './names.ts';

const service = z.object({
  type: z
    .enum(['ClusterIP', 'NodePort', 'LoadBalancer'])
    .default('ClusterIP')
    .describe('Type of the endpoint Service, which bears the name of the resource and listens on port 80, or with TLS on port 443.'),
  annotations: z
    .record(z.string(), z.string().max(4096))
    .meta({ maxProperties: 32 })
    .optional()
    .describe('Annotations of the endpoint Service, for example for a cloud load balancer.'),
});

/** Name of an object, as the value of `field`. @param what such as `a Secret in the same namespace` */
export function objectName(field: string, what: string, maxLength = 253) {
  return z
    .string()
    .min(1)
    .max(maxLength)
    .meta(
      rules({
        rule: "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
        message: `${field}: must be the name of ${what}: lower-case letters, digits, - and .`,
      }),
    );
}

/** Name of a Secret in the resource's namespace, as the value of `field`. The Secret is mounted, never read through the API server. */
export function secretName(field: string, description: string) {
  return objectName(field, 'a Secret in the same namespace').describe(description);
}

/** Name of a claim in the resource's namespace, as the value of `claim`. */
export function claimName() {
  return objectName('claim', 'a PersistentVolumeClaim in the same namespace');
}

const auth = z.object({
  secretName: secretName(
    'secretName',
    'Secret in the same namespace whose every value is one API key; the names in it only tell keys apart. A request must then carry ' +
      '`Authorization: Bearer <key>`. Changed keys count within about a minute, without a restart; while there is no key, no request is answered.',
  ),
});

const tls = z.object({
  secretName: secretName(
    'secretName',
    'Secret of type kubernetes.io/tls in the same namespace. The endpoint then speaks HTTPS alone, on port 443. A renewed certificate is ' +
      'used within about a minute, without a restart.',
  ),
});

const tracing = z.object({
  endpoint: z
    .string()
    .min(1)
    .max(1024)
    .meta(
      rules({
        rule: "self.matches('^https?://[A-Za-z0-9.:_\\\\[\\\\]-]+(/[A-Za-z0-9._~/-]*)?$')",
        message: 'endpoint: must be a URL such as http://collector.monitoring:4318, without user, password or query',
      }),
    )
    .describe(
      "Base URL of an OpenTelemetry collector that takes OTLP over HTTP, such as http://collector.monitoring:4318; each request's trace goes there.",
    ),
});

export const endpointSchema = z.object({
  service: service.prefault({}).describe('The endpoint Service.'),
  auth: auth.optional().describe('API keys that clients must show. Left out: anyone who reaches the endpoint is answered.'),
  tls: tls.optional().describe('Certificate of the endpoint. Left out: plain HTTP.'),
  tracing: tracing.optional().describe('Traces of requests. Left out: none are made.'),
});

export type EndpointSpec = z.infer<typeof endpointSchema>;

/** What the endpoint is to speak. */
export function schemeOf({ tls: certificate }: EndpointSpec): Scheme {
  return certificate ? 'https' : 'http';
}
