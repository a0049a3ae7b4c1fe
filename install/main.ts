/**
 * The cdk8s app behind `npm run synth`: writes dist/install.yaml, and dist/monitoring.yaml (docs/monitoring.md). Image names come from the version in package.json; for another
 * registry set R2R_IMAGE_REGISTRY, for single images R2R_OPERATOR_IMAGE, R2R_ROUTER_IMAGE and R2R_TRAINER_IMAGE.
 */
import { App } from 'cdk8s';
import manifest from '../package.json' with { type: 'json' };
import { publishedImages } from './images.ts';
import { Installation } from './installation.ts';
import { Monitoring } from './monitoring/chart.ts';

const { R2R_IMAGE_REGISTRY: registry, R2R_OPERATOR_IMAGE, R2R_ROUTER_IMAGE, R2R_TRAINER_IMAGE } = process.env;
const images = publishedImages(manifest.version, registry);
const app = new App({ outputFileExtension: '.yaml' });
new Installation(app, 'install', {
  version: manifest.version,
  operatorImage: R2R_OPERATOR_IMAGE ?? images.operator,
  routerImage: R2R_ROUTER_IMAGE ?? images.router,
  trainerImage: R2R_TRAINER_IMAGE ?? images.trainer,
});
// many a Prometheus takes only what has its label: release=kube-prometheus-stack
const pairs = (process.env.R2R_MONITORING_LABELS ?? '').split(',').filter((each) => each.includes('='));
const labels = Object.fromEntries(
  pairs.map((each): [string, string] => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)]),
);
new Monitoring(app, 'monitoring', { labels });
app.synth();
