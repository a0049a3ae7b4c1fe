/** The images of a version, where they are published or in another registry. */
export function publishedImages(version: string, registry = 'ghcr.io/r2r-kubernetes') {
  return {
    operator: `${registry}/operator:${version}`,
    router: `${registry}/router:${version}`,
    trainer: `${registry}/trainer:${version}`,
  };
}
