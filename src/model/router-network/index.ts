export { NetworkError, type NetworkErrorCode } from './errors.ts';
export { buildNetworkGraph, type NetworkGraph, type NetworkGraphOptions } from './network-graph.ts';
export { networkProbability } from './probability.ts';
