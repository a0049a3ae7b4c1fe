import type { Condition } from '../../api/r2rdeployment-status.ts';
import type { Tone } from './layout.ts';

/** These are good when they are False. */
const goodWhenFalse = new Set(['Reconciling', 'Stalled']);

export function conditionTone({ type, status }: Pick<Condition, 'type' | 'status'>): Tone {
  if (status === 'Unknown') return 'busy';
  if (type === 'Reconciling' && status === 'True') return 'busy';
  return (status === 'True') !== goodWhenFalse.has(type) ? 'good' : 'bad';
}
