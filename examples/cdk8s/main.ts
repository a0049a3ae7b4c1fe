/**
 * One pair of models in two stages, as code: what they share is written once, and a wrong field is an error of the compiler or of `synth`,
 * not of the cluster.
 *
 *     npm install && npx cdk8s synth && kubectl apply -f dist/
 */
import { App, Chart } from 'cdk8s';
import type { Construct } from 'constructs';
import { R2RDeployment, R2RRouter } from 'r2r-kubernetes/cdk8s';
import type { R2RDeploymentSpec } from 'r2r-kubernetes/cdk8s';

interface PairProps {
  readonly namespace: string;
  /** Pods that draft, and the LLM replicas behind them. */
  readonly slmReplicas: number;
  readonly llmReplicas: number;
  /** Recall that a new router network must reach before this stage gets it. */
  readonly minRecall: number;
}

const models = '/opt/r2r/examples/models';
const resources = { requests: { cpu: '100m', memory: '192Mi' }, limits: { memory: '1Gi' } };
const server = (name: string) => ({ model: `${models}/${name}`, engine: 'CPU', resources }) as const satisfies R2RDeploymentSpec['slm'];

/** A deployment of the tiny pair, and the router that is labelled and trained for it. */
class Pair extends Chart {
  constructor(scope: Construct, id: string, { namespace, slmReplicas, llmReplicas, minRecall }: PairProps) {
    super(scope, id, { namespace, labels: { stage: id } });
    const router = new R2RRouter(this, 'router', {
      metadata: { name: 'sums' },
      spec: {
        preset: 'tiny',
        source: {
          pipeline: {
            datasets: [
              {
                name: 'sums',
                path: `${models}/problems/train.jsonl`,
                idField: 'id',
                questionField: 'question',
                answerField: 'answer',
                type: 'Math',
              },
            ],
            respond: { maxNewTokens: 256, writer: 'slm' },
          },
        },
        training: {
          hiddenDims: [32],
          expansionFactor: 2,
          dropout: 0.3,
          normalizeInput: true,
          learningRate: 0.002,
          batchSize: 1024,
          epochs: 12,
          loss: { posWeight: 1 },
          seed: 7,
          minRecall: 0.98,
        },
        gate: { minRecall },
        storage: { workspace: { size: '5Gi' } },
      },
    });
    new R2RDeployment(this, 'deployment', {
      metadata: { name: 'sums' },
      spec: {
        slm: { ...server('slm'), replicas: slmReplicas },
        llm: { ...server('llm'), replicas: llmReplicas },
        router: { checkpoint: router.checkpoint, resources },
      },
    });
  }
}

const app = new App();
new Pair(app, 'staging', { namespace: 'staging', slmReplicas: 1, llmReplicas: 1, minRecall: 0.9 });
new Pair(app, 'production', { namespace: 'production', slmReplicas: 3, llmReplicas: 2, minRecall: 0.95 });
app.synth();
