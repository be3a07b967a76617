<?php
// php-redis: RedisSentinel says where, Redis connects.
[$program, $name] = $argv;
$ports = array_slice($argv, 2);
$redis = null;
$port = 0;

function master(string $name, array $ports): array
{
    foreach ($ports as $port) {
        try {
            // Since 6.0 its arguments have names.
            $sentinel = version_compare(phpversion("redis"), "6.0.0", ">=")
                ? new RedisSentinel(["host" => "127.0.0.1", "port" => (int)$port,
                                     "connectTimeout" => 1.0, "readTimeout" => 1.0])
                : new RedisSentinel("127.0.0.1", (int)$port, 1.0, null, 0, 1.0);
            $address = $sentinel->getMasterAddrByName($name);
            if ($address) {
                return $address;
            }
        } catch (RedisException $e) {
            // the next one
        }
    }
    throw new RedisException("no sentinel knows the master");
}

stream_set_blocking(STDIN, false);
while (true) {
    fread(STDIN, 1);
    if (feof(STDIN)) {
        break;
    }
    usleep(50000);
    try {
        if ($redis === null) {
            [$host, $port] = master($name, $ports);
            $found = new Redis();
            $found->connect($host, (int)$port, 1.0, null, 0, 1.0);
            $found->client("SETNAME", "client-php_redis");
            $redis = $found;
        }
        $value = $redis->incr("counter-php_redis");
        if ($value === false) {
            throw new RedisException($redis->getLastError() ?? "false");
        }
        echo "ok $value $port\n";
    } catch (RedisException $e) {
        echo "error ", $e->getMessage(), "\n";
        $redis = null;
    }
}
