/** uvicorn closes idle connections after 5 s; ours must let go of them first, or a request meets a closing socket. */
const keepAliveMs = 4_000;

/** How connections to model servers are kept, in whichever thread. */
export const agentOptions = { keepAliveTimeout: keepAliveMs, keepAliveMaxTimeout: keepAliveMs, connect: { timeout: 5_000 } } as const;
