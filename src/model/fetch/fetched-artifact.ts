/** What was asked for, on this machine. */
export interface FetchedArtifact {
  /** Absolute. */
  readonly path: string;
  /** A folder is a bundle; a file a checkpoint. */
  readonly kind: 'file' | 'folder';
  /** sha256 (hex) of a file; of a folder nothing is known before it is opened. */
  readonly digest: string | null;
  /** The address as it was asked for, of the hub with the commit in place of a branch or tag. Of a path its last part: it names no place of this machine. */
  readonly source: string;
  /** False: the server could not be asked, and this is what it had the last time. */
  readonly fresh: boolean;
}
