// ioredis: its own sentinel support follows the master.
const Redis = require("ioredis");

const [name, ...ports] = process.argv.slice(2);
const redis = new Redis({
  sentinels: ports.map((port) => ({ host: "127.0.0.1", port: Number(port) })),
  name,
  connectionName: "client-ioredis",
  connectTimeout: 1000,
  maxRetriesPerRequest: 2,
  sentinelRetryStrategy: () => 100,
  retryStrategy: () => 100,
  reconnectOnError: (error) => (error.message.startsWith("READONLY") ? 2 : false),
});
redis.on("error", (error) => console.log("error " + error.message));

async function once() {
  try {
    const value = await redis.incr("counter-ioredis");
    console.log("ok " + value + " " + redis.stream.remotePort);
  } catch (error) {
    console.log("error " + error.message);
  }
  setTimeout(once, 50);
}
once();
process.stdin.on("end", () => process.exit(0)).resume();
