/** How large a checkpoint may be. All are far above what upstream writes: some 250 archive entries and 100 kB of pickle, optimizer included. */
export interface CheckpointLimits {
  /** @default 64 GiB */
  readonly maxFileBytes: number;
  /** Entries of the archive, one a storage. @default 10,000 */
  readonly maxEntries: number;
  /** Size of `data.pkl`. @default 16 MiB */
  readonly maxPickleBytes: number;
  /** Operations of the pickle, each of which may make one object. @default 500,000 */
  readonly maxPickleOperations: number;
  /** Containers inside one another. @default 64 */
  readonly maxDepth: number;
  /** Values in all arguments together, one that is referred to twice counting twice. @default 100,000 */
  readonly maxArgumentValues: number;
  /** Elements of one tensor, of which each takes 4 bytes once read. @default 2^31 */
  readonly maxTensorElements: number;
}

export const defaultCheckpointLimits: CheckpointLimits = {
  maxFileBytes: 64 * 2 ** 30,
  maxEntries: 10_000,
  maxPickleBytes: 16 * 2 ** 20,
  maxPickleOperations: 500_000,
  maxDepth: 64,
  maxArgumentValues: 100_000,
  maxTensorElements: 2 ** 31,
};
