/** What the operator tells SGLang on GPUs, read by SGLang's own parser: there are no GPUs here to start it on. */
import assert from 'node:assert/strict';
import { run } from '../cluster/commands.ts';
import { enginePlanSchema } from '../../src/api/engine-plan.ts';
import { sglangEnvironment } from '../../tools/sglang/on-cpu.ts';
import { installSGLang } from '../../tools/sglang/install.ts';
import { progress } from '../cluster/shared.ts';
import { example, render, workload } from '../manifests/rendering.ts';

/** Reads lists of arguments, prints the fields of each, and which of the variables SGLang knows. */
const program = `
import argparse, json, sys
from sglang.srt.environ import envs
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser()
ServerArgs.add_cli_args(parser)
fields = ["tp_size", "nnodes", "node_rank", "dist_init_addr", "mem_fraction_static", "host", "port", "page_size", "context_length", "served_model_name"]
found = [{field: vars(parser.parse_args(arguments))[field] for field in fields} for arguments in json.load(sys.stdin)]
print(json.dumps({"found": found, "knows": hasattr(envs, "SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK")}))`;

/** What the kubelet puts in for variables. */
const variables: Readonly<Record<string, string>> = {
  POD_IP: '10.0.0.7',
  LWS_GROUP_SIZE: '2',
  LWS_WORKER_INDEX: '1',
  LWS_LEADER_ADDRESS: 'group-0.group.models',
};
const expanded = (argument: string): string => argument.replaceAll(/\$\((\w+)\)/g, (whole, name: string) => variables[name] ?? whole);

function commands(): (readonly string[])[] {
  const apart = render(example('r1-1.5b-32b.yaml'));
  const own = (['slm', 'llm'] as const).map((role) => {
    const { initContainers = [], containers } = workload(apart, role).spec.template.spec;
    return [...initContainers, ...containers].find(({ name }) => name === 'engine')!.args;
  });
  const unit = workload(render(example('r1-1.5b-32b-colocated.yaml')), 'slm').spec.template.spec.initContainers![0]!;
  const { engines } = enginePlanSchema.parse(JSON.parse(unit.args[0]!));
  const group = render(example('qwen3-0.6b-235b-multinode.yaml')).find(({ kind }) => kind === 'LeaderWorkerSet') as unknown as {
    spec: { leaderWorkerTemplate: { workerTemplate: { spec: { containers: { args: string[] }[] } } } };
  };
  const worker = group.spec.leaderWorkerTemplate.workerTemplate.spec.containers[0]!;
  return [...own, ...engines.map(({ command }) => command.slice(3)), worker.args].map((args) => args.map(expanded));
}

describe("SGLang's parser", function () {
  this.timeout(45 * 60_000);

  it('takes the arguments of every GPU example, and understands them as they are meant', async () => {
    const { python } = await installSGLang(progress);
    const options = { env: { ...process.env, ...sglangEnvironment }, input: JSON.stringify(commands()), timeoutMs: 300_000 };
    const printed = (await run(python, ['-c', program], options)).trim().split('\n').at(-1)!;
    const { found, knows } = JSON.parse(printed) as { found: Record<string, unknown>[]; knows: boolean };
    assert.ok(knows, 'the variable that allows GPUs with unequal memory');
    const common = { host: '10.0.0.7', page_size: 1, context_length: 32_768, nnodes: 1, node_rank: 0, dist_init_addr: null };
    assert.deepEqual(found, [
      { ...common, served_model_name: 'slm', tp_size: 1, port: 30_000, mem_fraction_static: null },
      { ...common, served_model_name: 'llm', tp_size: 2, port: 30_000, mem_fraction_static: null },
      { ...common, served_model_name: 'slm', tp_size: 1, port: 30_000, mem_fraction_static: 0.15 },
      { ...common, served_model_name: 'llm', tp_size: 2, port: 30_001, mem_fraction_static: 0.8 },
      {
        ...common,
        served_model_name: 'llm',
        tp_size: 16,
        port: 30_000,
        mem_fraction_static: 0.85,
        nnodes: 2,
        node_rank: 1,
        dist_init_addr: 'group-0.group.models:30003',
      },
    ]);
  });
});
