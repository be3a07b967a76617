# ruby-redis: Redis.new with sentinels.
require "redis"

name, *ports = ARGV
$stdout.sync = true
redis = Redis.new(url: "redis://#{name}", role: :master, id: "client-ruby_redis", timeout: 1,
                  reconnect_attempts: 0,
                  sentinels: ports.map { |port| { host: "127.0.0.1", port: port.to_i } })
until IO.select([$stdin], nil, nil, 0.05)
  begin
    value = redis.incr("counter-ruby_redis")
    puts "ok #{value} #{redis.connection[:port]}"
  rescue StandardError => e
    puts "error #{e.message}"
    # As an application does that meets a demoted master: let it look again.
    redis.close if e.message.start_with?("READONLY")
  end
end
