import type { Chart } from 'cdk8s';
import { labelKeys, revisionNames, selectorLabels } from '../api/names.ts';
import type { Component } from '../api/names.ts';
import { addBuiltIn } from './built-in-objects.ts';

/**
 * One PodDisruptionBudget for each role that has pods of its own in a revision: a drain takes one pod after the other. Pods that are not ready may always go, so that
 * they hold no drain up.
 */
export function addDisruptionBudgets(chart: Chart, instance: string, revision: string, roles: readonly Component[]): void {
  for (const role of roles) {
    addBuiltIn(chart, `${role}-budget`, 'PodDisruptionBudget', {
      metadata: { name: revisionNames(instance, revision)[role], labels: { [labelKeys.component]: role } },
      spec: {
        maxUnavailable: 1,
        selector: { matchLabels: selectorLabels(instance, revision, role) },
        unhealthyPodEvictionPolicy: 'AlwaysAllow',
      },
    });
  }
}
