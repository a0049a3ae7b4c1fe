/** A call of a group: of the calls whose prompts begin alike. */
export interface GroupedCall {
  readonly group: number;
  /** In its group, by length of the prompt, ascending. */
  readonly index: number;
  /** The first of its group, which has the longest prompt: an engine with a prefix cache reads that, and finds most of all others in it. */
  readonly leads: boolean;
}

/**
 * The order in which calls whose prompts begin alike had better be made: of each group the longest prompt first, the others when it has been
 * answered. Leads go ahead of their groups, so that there is always something to do, but no further than that: an engine's cache holds few
 * long prompts.
 *
 * @param sizes calls of each group
 * @param ahead calls that may be made before those of the next group are ready
 */
export function prefixOrder(sizes: readonly number[], ahead: number): readonly GroupedCall[] {
  const order: GroupedCall[] = [];
  let led = 0;
  for (let group = 0; group < sizes.length; group++) {
    for (let ready = 0; led < sizes.length && (led <= group || ready < ahead); led++) {
      const size = sizes[led] ?? 0;
      if (size > 0) order.push({ group: led, index: size - 1, leads: true });
      if (led >= group) ready += size;
    }
    for (let index = 0; index < (sizes[group] ?? 0) - 1; index++) order.push({ group, index, leads: false });
  }
  return order;
}

/**
 * Makes grouped calls in that order, `width` at a time. The first failure is thrown; calls under way are then left to the signal.
 *
 * @param call makes one
 */
export async function callByPrefix(
  sizes: readonly number[],
  width: number,
  call: (group: number, index: number) => Promise<void>,
): Promise<void> {
  const leads = new Map<number, Promise<void>>();
  const rest = prefixOrder(sizes, width).values();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (const { group, index, leads: isLead } of rest) {
      if (failed) return;
      try {
        if (isLead) {
          const lead = call(group, index);
          leads.set(group, lead);
          await lead;
        } else {
          await leads.get(group);
          await call(group, index);
        }
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}
