import { deepFreeze } from './freeze.ts';

const shared = new Map<string, object>();
/** Different sets of fields are few: one for each shape of object. Beyond this many they are forgotten, and new ones shared. */
const limit = 500;

/**
 * The same object for equal sets of owned fields (`fieldsV1`), frozen. Objects that were applied from one template own the same fields, and a
 * cache of thousands would else keep as many copies, each as large as the object itself.
 */
export function sharedFields<T extends object>(fields: T): T {
  const key = JSON.stringify(fields);
  const known = shared.get(key);
  // equal text means equal content, hence the same type
  if (known) return known as T;
  if (shared.size >= limit) shared.clear();
  shared.set(key, deepFreeze(fields));
  return fields;
}
