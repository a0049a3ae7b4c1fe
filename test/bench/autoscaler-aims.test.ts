import assert from 'node:assert/strict';
import { verdicts } from '../../bench/autoscaler/aims.ts';
import { meanOverSeeds, type Run } from '../../bench/autoscaler/curve.ts';

function run(seed: number, policy: string, setting: number, lateShare: number, gpuHours: number, workload = 'steady'): Run {
  const standard = policy === 'r2r' ? true : null;
  return { workload, policy, setting, standard, seed, lateShare, slowShare: 2 * lateShare, gpuHours, changes: 10 * seed };
}

describe('the aims of the autoscaler benchmark', () => {
  it('are judged by the means over the seeds, and say with which seed alone they are missed', () => {
    const runs = [
      ...[run(1, 'r2r', 0.7, 0.002, 50), run(1, 'hpa-queue', 5, 0.001, 49)],
      ...[run(2, 'r2r', 0.7, 0.001, 50), run(2, 'hpa-queue', 5, 0.004, 49)],
    ];
    assert.deepEqual(verdicts(runs), [{ met: true, text: 'steady: dominated by none', missedWith: [1] }]);
    const worse = runs.map((each) => (each.policy === 'r2r' ? { ...each, lateShare: each.lateShare + 0.002 } : each));
    assert.deepEqual(verdicts(worse), [{ met: false, text: 'steady: dominated by hpa-queue 5', missedWith: [1] }]);
  });

  it('ask on bursty and diurnal workloads for at most half the late tokens of each autoscaler at equal GPU-hours', () => {
    const rivals = ['hpa-queue', 'kpa-knative', 'kpa-aibrix'].flatMap((policy) => [
      run(1, policy, 4, 0.01, 60, 'diurnal'),
      run(1, policy, 8, 0.04, 40, 'diurnal'),
    ]);
    // between 4 % and 1 %, on a logarithmic scale, lie 2 %
    const judged = (late: number): readonly boolean[] =>
      verdicts([run(1, 'r2r', 0.7, late, 50, 'diurnal'), ...rivals]).map(({ met }) => met);
    assert.deepEqual(judged(0.0099), [true, true, true, true]);
    assert.deepEqual(judged(0.0101), [true, false, false, false]);
  });

  it('take a static pool as one policy, though each seed needs another size', () => {
    const runs = [
      run(1, 'static-peak', 6, 0, 40),
      run(2, 'static-peak', 8, 0.02, 60),
      run(1, 'r2r', 0.7, 0, 41),
      run(1, 'r2r', 0.8, 0, 39),
    ];
    assert.deepEqual(
      meanOverSeeds(runs).map(({ policy, setting, lateShare, slowShare, gpuHours, changes }) => [
        policy,
        setting,
        lateShare,
        slowShare,
        gpuHours,
        changes,
      ]),
      [
        ['static-peak', 7, 0.01, 0.02, 50, 15],
        ['r2r', 0.7, 0, 0, 41, 10],
        ['r2r', 0.8, 0, 0, 39, 10],
      ],
    );
  });
});
