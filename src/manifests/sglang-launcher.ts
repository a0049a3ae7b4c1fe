/**
 * The launcher of a Colocated pod for the SGLang image, which has Python and nothing of ours. It is the container's command, word for word, so
 * that it can be read in the pod and is pinned with it. Standard library only; no `$`, which Kubernetes would expand. What it does is written
 * in docs/placement.md; `src/cli/engines.ts` is the same for our own image.
 */
export const sglangLauncher = `\
# Starts two model servers one after the other and lives as long as both do.
import glob, http.client, http.server, json, os, signal, socket, socketserver, subprocess, sys, threading, time
from urllib.parse import urlsplit

plan = json.loads(sys.argv[1])
stopping = False


def say(text):
    print("launcher: " + text, file=sys.stderr, flush=True)


class Engine:
    def __init__(self, name, url, command, env, memory=None):
        self.name, self.address, self.command, self.env, self.memory = name, urlsplit(url), command, env, memory
        self.process = self.status = None
        self.was_ready = False

    def start(self):
        # a session of its own: all it starts can be ended with it
        self.process = subprocess.Popen(self.command, env={**os.environ, **self.env}, start_new_session=True)

    def answers(self, path):
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def state(self):
        if self.process is None:
            return "waiting"
        if self.status is not None:
            return "ended"
        if not self.was_ready:
            return "starting"
        return "ready" if not stopping and self.answers("/ready") else "unready"

    def runs(self):
        return self.process is not None and self.status is None

    def kill(self):
        try:
            if self.process:
                os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


engines = [Engine(**each) for each in plan["engines"]]


class Report(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        states = {engine.name: engine.state() for engine in engines}
        if self.path == "/health":
            # an engine that starts has its own deadline
            good = all(engine.answers("/health") for engine in engines if engine.was_ready)
        else:
            good = self.path == "/ready" and set(states.values()) == {"ready"}
        body = json.dumps(states).encode()
        self.send_response(200 if good else 503)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    # not http.server's own, which asks the DNS for its name before it answers
    address_family = socket.AF_INET6 if ":" in plan["report"]["host"] else socket.AF_INET
    allow_reuse_address = daemon_threads = True


def reap():
    # as process 1, also of what an engine left behind
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        for engine in engines:
            if engine.process and engine.process.pid == pid:
                engine.status = engine.process.returncode = os.waitstatus_to_exitcode(status)


def fail(engine, what):
    # the other one cannot be of use alone, and its memory must be free before they start again
    for each in engines:
        each.kill()
    say("engine " + engine.name + " " + what + "; both start again")
    sys.exit(1)


def stop():
    # the last one first: without the LLM the SLM's answers go on, without the SLM there are none
    for engine in reversed(engines):
        if engine.runs():
            os.kill(engine.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + plan["stopTimeoutSeconds"]
        while engine.runs() and time.monotonic() < deadline:
            time.sleep(0.1)
            reap()
        engine.kill()
    say("stopped")
    sys.exit(0)


def watch():
    time.sleep(0.2)
    reap()
    if stopping:
        stop()
    for engine in engines:
        if engine.status is not None:
            ended = "exit status %d" % engine.status if engine.status >= 0 else "signal %d" % -engine.status
            fail(engine, "ended with " + ended)


def needs(model, gpus):
    """Bytes of weights, and of one token's keys and values in two bytes each, on every GPU."""
    with open(os.path.join(model, "config.json")) as file:
        config = json.load(file)
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    heads = max(1, config["num_key_value_heads"] // gpus)
    weights = sum(os.path.getsize(path) for path in glob.glob(os.path.join(glob.escape(model), "*.safetensors")))
    if weights == 0:
        raise ValueError("no *.safetensors in " + model)
    return weights / gpus, heads * head * config["num_hidden_layers"] * 2 * 2


def share_memory():
    """Upstream's formula (R2R, sl_disaggregation_system.py): as many tokens fit into one cache as into the other."""
    small, large = engines
    if not small.memory or not large.memory or (small.memory["fixed"] and large.memory["fixed"]):
        return
    try:
        query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        total = min(int(line) for line in subprocess.check_output(query, text=True).split()) * 2**20
        (w_small, cell_small), (w_large, cell_large) = (needs(e.memory["model"], e.memory["gpus"]) for e in engines)
        tokens = 0.9 * (0.85 * total - w_small - w_large) / (cell_small + cell_large)
        if tokens <= 0:
            raise ValueError("the weights of both models take more than 85 % of a GPU")
        first = (tokens * cell_small + w_small) / total
        # of what the first one leaves
        second = (tokens * cell_large + w_large) / total / (1 - first)
    except (OSError, KeyError, TypeError, ValueError, subprocess.CalledProcessError) as error:
        say("memory is shared by default, since it cannot be worked out: %s: %s" % (type(error).__name__, error))
        return
    say("memory by upstream's formula: slm %.3f, llm %.3f of what is free when each starts, %d tokens" % (first, second, tokens))
    for engine, share in ((small, first), (large, second)):
        if not engine.memory["fixed"]:
            engine.command += ["--mem-fraction-static", "%.3f" % share]


def main():
    def on_signal(*_):
        global stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    server = Server((plan["report"]["host"], plan["report"]["port"]), Report)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    share_memory()
    for engine in engines:
        began = time.monotonic()
        say("starting " + engine.name)
        try:
            engine.start()
        except OSError as error:
            fail(engine, "cannot be started: %s" % error)
        while not engine.answers("/ready"):
            watch()
            if time.monotonic() - began > plan["readyTimeoutSeconds"]:
                fail(engine, "was not ready after %g s" % plan["readyTimeoutSeconds"])
        engine.was_ready = True
        say("%s is ready after %.0f s" % (engine.name, time.monotonic() - began))
    while True:
        watch()


main()
`;
