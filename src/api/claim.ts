/** Where claims are mounted in engines and routers: `/models/<claim>`. */
const claimsFolder = '/models';

/** The claim of `pvc://<claim>/<path>`; undefined for an address of another form. */
export function claimOf(address: string): string | undefined {
  return /^pvc:\/\/([^/]+)/.exec(address)?.[1];
}

/** The folder a claim is mounted at. */
export function claimFolder(claim: string): string {
  return `${claimsFolder}/${claim}`;
}
