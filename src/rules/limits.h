/* Every bound of vedette, in one place. What happens at a bound is written beside it.
 *
 * Thread: constants only.
 */
#pragma once

#include <stdint.h>

/* --- names and texts ---------------------------------------------------------------------- */
#define LIMIT_NAME       200 /* bytes of a master's name; longer: config error, hello ignored */
#define LIMIT_IP         45  /* bytes of a textual IPv4 or IPv6 address */
#define LIMIT_HOST       255 /* bytes of a host name */
#define LIMIT_RUNID      40  /* hex digits of a run id, exactly */
#define LIMIT_EVENT_TEXT 2048
#define LIMIT_HELLO      1024 /* bytes of one hello message; longer: ignored and counted */

/* --- topology ------------------------------------------------------------------------------ */
#define LIMIT_GROUPS    65536 /* distinct master names in the life of one process */
#define LIMIT_REPLICAS  256   /* of one group; further ones in INFO are ignored and counted */
#define LIMIT_SENTINELS 128   /* of one group; further ones in hellos are ignored and counted */
#define LIMIT_PEERS     1024  /* sentinel processes known to this one */

/* --- host names (rules/host.h, io/resolver.h) ----------------------------------------------- */
#define LIMIT_HOSTS            65536 /* distinct names in the life of one process, a power of two */
#define LIMIT_HOSTS_HEARD      49152 /* with so many, names from the network are refused, counted */
#define LIMIT_HOSTS_ASKED      8192  /* with so many, those in requests of clients are, too */
#define LIMIT_RESOLVER_THREADS 32    /* lookups at once; the rest wait */
#define LIMIT_RESOLVER_FRESH   5000  /* ms an answer is taken as it is, then asked for again */
#define LIMIT_RESOLVER_AGAIN   1000  /* ms after a failed lookup, doubled with each failure ... */
#define LIMIT_RESOLVER_BACKOFF 16000 /* ... up to this */
#define LIMIT_RESOLVER_RATE    200  /* lookups a second of names looked up before; then they wait */
#define LIMIT_RESOLVER_START   3000 /* ms the start waits for names; then it goes on without */
#define LIMIT_RESOLVER_REPLY   5000 /* ms SENTINEL MONITOR waits for its name; then an error */

/* --- epochs (protocol.md §11) --------------------------------------------------------------- */
#define LIMIT_EPOCH      ((uint64_t)1 << 62) /* above: ignored and counted */
#define LIMIT_EPOCH_JUMP ((uint64_t)1 << 32) /* further above ours than this: ignored, counted */

/* --- elections (design.md §4) --------------------------------------------------------------- */
#define LIMIT_ROUNDS      8    /* of one attempt */
#define LIMIT_BATCH_DELAY 100  /* ms, random wait of a sentinel before its first asks of a batch */
#define LIMIT_BACKOFF     100  /* ms, first back-off after a split vote; doubles with each round */
#define LIMIT_FORCED_WAIT 1000 /* ms SENTINEL FAILOVER waits for a majority before going on */
#define LIMIT_VOTE_PATIENCE                                                                        \
    500 /* ms a voter's answer waits for the disk before the old vote goes */

/* --- RESP from clients ---------------------------------------------------------------------- */
#define LIMIT_REQUEST_ARGS   (1024 * 1024) /* arguments of one request, as Redis */
#define LIMIT_REQUEST_BULK   (512 * 1024)  /* bytes of one argument */
#define LIMIT_REQUEST_INLINE (64 * 1024)   /* bytes of an inline request or a length line */
#define LIMIT_REQUEST_BYTES  (1024 * 1024) /* bytes of one request; more: error and close */
#define LIMIT_CLIENT_OUTPUT                                                                        \
    (256 * 1024 * 1024) /* unsent bytes of a subscriber, whatever client-output-buffer-limit says; \
                           more: closed and counted */
#define LIMIT_CLIENT_SLOTS                                                                         \
    4096 /* pipelined requests whose answers are awaited; then read stops                          \
          */
#define LIMIT_CLIENT_ASKED                                                                         \
    64 /* requests of a client that other threads answer; then read stops                          \
        */
#define LIMIT_CLIENTS           10000 /* maxclients default */
#define LIMIT_LEAD_CLIENTS      64   /* of the process, which one shard takes alone; further: all */
#define LIMIT_SUBSCRIPTIONS     1024 /* channels and patterns of one client */
#define LIMIT_TRACKING_PREFIXES 64   /* of one client's CLIENT TRACKING; more: an error */

/* --- users of the port (src/acl) ------------------------------------------------------------ */
#define LIMIT_ACL_COMMANDS 256  /* commands and subcommands of the port together */
#define LIMIT_ACL_USERS    1024 /* further ones: ACL SETUSER and the file are refused */
#define LIMIT_ACL_USER     7168 /* bytes of one user's line, all rules in it; longer: refused */
#define LIMIT_ACL_RULES                                                                            \
    (LIMIT_ACL_USER /                                                                              \
     2) /* rules given at once, or in one selector: no user's line has more; refused */
#define LIMIT_ACL_PASSWORD 16384 /* bytes of a password; longer: refused, and never right */
#define LIMIT_ACL_LOG      4096  /* entries of ACL LOG, whatever acllog-max-len says */
#define LIMIT_ACL_MAIL     256   /* denials on their way to the log; further ones: counted only */
#define LIMIT_ACL_OBJECT   128   /* bytes of a channel's or user's name in the log; then cut */
#define LIMIT_ACL_FILE     (16 * 1024 * 1024) /* bytes of an aclfile; more: error */

/* --- RESP from instances -------------------------------------------------------------------- */
#define LIMIT_INFO_TEXT      (64 * 1024)  /* bytes of an INFO reply; longer: ignored and counted */
#define LIMIT_REPLY_BYTES    (256 * 1024) /* unparsed bytes of a link; more: link closed, counted */
#define LIMIT_REPLY_ELEMENTS 1024         /* in all arrays of one reply; more: link closed */
#define LIMIT_REPLY_DEPTH    5            /* arrays in arrays; deeper: link closed */
#define LIMIT_LINK_OUTPUT    (256 * 1024) /* unsent bytes of a link; then no command is taken */
#define LIMIT_LINK_PENDING   100 /* unanswered commands of a link; then nothing more is sent */

/* --- io --------------------------------------------------------------------------------------*/
#define LIMIT_SHARDS 64
#define LIMIT_LANE   256 /* messages a lane holds, a power of two */
#define LIMIT_LANE_SPILL                                                                           \
    65536 /* messages waiting privately behind a full lane; then gossip drops */
#define LIMIT_SQ            512   /* submission queue entries of a ring, a power of two */
#define LIMIT_CQ            4096  /* completion queue entries of a ring, a power of two */
#define LIMIT_BUFFER        4096  /* bytes of one provided buffer */
#define LIMIT_BUFFERS       1024  /* provided buffers of a ring, a power of two */
#define LIMIT_BUFFERS_FIRST 64    /* of them at first; doubled when they run out */
#define LIMIT_READ          16384 /* bytes that epoll's ring receives at once */
#define LIMIT_CONNECT       3000  /* ms a connection attempt may take */
#define LIMIT_LINGER        5000  /* ms a closing stream may take to send its last output */
#define LIMIT_LINGERERS     256 /* such streams of a ring; further ones do not wait for the peer */
#define LIMIT_ACCEPT_PAUSE  100 /* ms without accepting when descriptors have run out */
#define LIMIT_SLOTS         (1024 * 1024) /* streams, listeners and watches of a ring */
#define LIMIT_DIRECT                                                                               \
    (1024 * 1024) /* direct descriptors of a ring, the kernel's bound; beyond: normal ones */
#define LIMIT_DIRECT_FIRST 16384 /* of them at least, where RLIMIT_NOFILE allows that */
#define LIMIT_LINE         8192  /* bytes of a line of configuration or journal */
#define LIMIT_CONFIG_FILE  (256 * 1024 * 1024)

/* --- TLS: handshakes never stall a shard ----------------------------------------------------- */
#define LIMIT_TLS_WORK 2 /* ms of handshake steps a turn of a ring; the rest waits in its order */
#define LIMIT_TLS_PENDING                                                                          \
    2048 /* incoming handshakes of a ring under way; further connections are closed and counted */
#define LIMIT_TLS_HANDSHAKE 10000 /* ms to wait for the other side's parts, taken together */
#define LIMIT_TLS_INPUT                                                                            \
    (64 * 1024) /* bytes that wait for a handshake's turn; then reading stops until it comes */
#define LIMIT_TLS_CONTROL                                                                          \
    (64 * 1024) /* bytes of answers of the protocol itself that are not read; then it is closed */
#define LIMIT_TLS_LINGER 1000 /* ms a refused connection may take to read why */

/* --- scripts (protocol.md §8) --------------------------------------------------------------- */
#define LIMIT_SCRIPTS                                                                              \
    256 /* that run or wait; one more: the oldest that waits is dropped, counted */
#define LIMIT_SCRIPTS_RUNNING 16 /* at once; the others wait */
#define LIMIT_SCRIPT_TRIES    10 /* runs of one script that fails; then -script-error */
#define LIMIT_SCRIPT_ARGS     8  /* its path included */

/* --- turns of a shard (design.md §3) ------------------------------------------------------- */
#define TURN_CALM   50 /* ms: link traffic is gathered this long while all is well */
#define TURN_URGENT 1  /* ms: while a group of the shard is s_down or failing over */
#define LIMIT_BEHIND                                                                               \
    64 /* completions for each link that are taken before a verdict, when more wait than a turn    \
          takes; beyond: somebody floods us */

_Static_assert((LIMIT_LANE & (LIMIT_LANE - 1)) == 0, "a ck_ring's size is a power of two");
_Static_assert((LIMIT_CQ & (LIMIT_CQ - 1)) == 0 && LIMIT_CQ >= 4 * LIMIT_SQ,
               "completions of all submissions and of multishot requests fit");
_Static_assert((LIMIT_BUFFERS & (LIMIT_BUFFERS - 1)) == 0 && LIMIT_BUFFERS <= 32768,
               "a provided-buffer ring");
_Static_assert(LIMIT_HELLO > 2 * LIMIT_HOST + LIMIT_RUNID + LIMIT_NAME + 3 * 20 + 2 * 5 + 8,
               "every well-formed hello fits");
_Static_assert(LIMIT_REQUEST_BULK <= LIMIT_REQUEST_BYTES, "an argument fits in a request");
_Static_assert(LIMIT_SCRIPTS_RUNNING < LIMIT_SCRIPTS, "a full queue has one that waits");
_Static_assert(LIMIT_ACL_USER + 256 < LIMIT_LINE, "a user fits in a line of sentinel.conf");
_Static_assert(LIMIT_ACL_COMMANDS % 64 == 0, "permissions are words of bits");
_Static_assert(LIMIT_EVENT_TEXT > 2 * LIMIT_NAME + 4 * LIMIT_HOST + 2 * LIMIT_RUNID + 200,
               "every event's text fits");
