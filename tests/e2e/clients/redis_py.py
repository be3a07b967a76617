"""redis-py: a pool over the sentinels."""

import select
import sys

import redis
from redis.sentinel import Sentinel

name, *ports = sys.argv[1:]
sentinel = Sentinel([("127.0.0.1", int(port)) for port in ports], socket_timeout=1)
master = sentinel.master_for(name, socket_timeout=1, client_name="client-redis_py")
while not select.select([sys.stdin], [], [], 0.05)[0]:
    try:
        value = master.incr("counter-redis_py")
        port = master.connection_pool.master_address[1]
        print("ok %d %d" % (value, port), flush=True)
    except redis.RedisError as error:
        print("error %s" % error, flush=True)
