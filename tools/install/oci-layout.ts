import { createHash } from 'node:crypto';
import { Buffer } from 'node:buffer';

/** What an OCI descriptor says of a blob. */
interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ChartArtifact {
  /** Chart.yaml, parsed. */
  readonly metadata: { readonly name: string; readonly version: string; readonly description: string };
  /** The packaged chart, as `helm package` makes it. */
  readonly archive: Buffer;
}

const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.cncf.helm.config.v1+json',
  chart: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
} as const;

/**
 * An OCI image layout (image-spec 1.1) that holds a Helm chart as `helm push` would store it, by path below the layout's folder. Its tag is
 * the chart's version, with `_` for `+`, as Helm has it.
 */
export function ociLayout({ metadata, archive }: ChartArtifact): ReadonlyMap<string, string | Buffer> {
  const files = new Map<string, string | Buffer>();
  const add = (mediaType: string, content: string | Buffer): Descriptor => {
    const hex = createHash('sha256').update(content).digest('hex');
    files.set(`blobs/sha256/${hex}`, content);
    return { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(content) };
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: add(mediaTypes.config, JSON.stringify(metadata)),
    layers: [add(mediaTypes.chart, archive)],
    annotations: {
      'org.opencontainers.image.title': metadata.name,
      'org.opencontainers.image.version': metadata.version,
      'org.opencontainers.image.description': metadata.description,
      'org.opencontainers.image.licenses': 'Apache-2.0',
    },
  };
  const annotations = { 'org.opencontainers.image.ref.name': metadata.version.replace('+', '_') };
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [{ ...add(mediaTypes.manifest, JSON.stringify(manifest)), annotations }],
  };
  files.set('index.json', JSON.stringify(index));
  files.set('oci-layout', JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  return files;
}
