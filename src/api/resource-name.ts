/** Longest `metadata.name` of our resources: child names add a revision or a step's hash and must stay below 63 characters. */
export const maxNameLength = 40;

/** Services and pods bear the names of our resources. */
export const namePattern = '^[a-z]([-a-z0-9]*[a-z0-9])?$';
