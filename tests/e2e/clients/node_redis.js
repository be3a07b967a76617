// node-redis: createSentinel.
const { createSentinel } = require("redis");

const [name, ...ports] = process.argv.slice(2);
const sentinel = createSentinel({
  name,
  sentinelRootNodes: ports.map((port) => ({ host: "127.0.0.1", port: Number(port) })),
  nodeClientOptions: { name: "client-node_redis", socket: { connectTimeout: 1000 } },
  masterPoolSize: 1,
  scanInterval: 500,
});
sentinel.on("error", (error) => console.log("error " + error));

async function once() {
  try {
    const value = await sentinel.incr("counter-node_redis");
    const port = sentinel.getMasterNode ? sentinel.getMasterNode().port : sentinel.masterNode?.port;
    console.log("ok " + value + " " + (port || 0));
  } catch (error) {
    console.log("error " + error);
  }
  setTimeout(once, 50);
}

process.stdin.on("end", () => process.exit(0)).resume();
sentinel.connect().then(once, (error) => {
  console.log("error " + error);
  process.exit(1);
});
