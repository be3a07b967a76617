/* The commands: their table, how they are found and checked, and how they are executed
 * (protocol.md §9).
 *
 * Thread: the table is constant; execution is the client's shard's.
 */
#pragma once

#include "admin/client.h"

/* Flags and ACL categories of COMMAND INFO, in the order they are shown. */
enum command_flag {
    COMMAND_ADMIN = 1 << 0,
    COMMAND_PUBSUB = 1 << 1,
    COMMAND_NOSCRIPT = 1 << 2,
    COMMAND_LOADING = 1 << 3,
    COMMAND_STALE = 1 << 4,
    COMMAND_FAST = 1 << 5,
    COMMAND_NO_AUTH = 1 << 6, /* allowed before AUTH */
    COMMAND_NO_MULTI = 1 << 7,
    COMMAND_ALLOW_BUSY = 1 << 8,
    COMMAND_CONNECTION = 1 << 9,  /* category @connection */
    COMMAND_DANGEROUS = 1 << 10,  /* category @dangerous */
    COMMAND_ADMIN_ONLY = 1 << 11, /* category @admin without the flag */
    /* Not shown. */
    COMMAND_SUBSCRIBED = 1 << 16, /* allowed while subscribed in RESP2 */
    COMMAND_HIDDEN = 1 << 17,     /* Valkey's other name of a command: not listed */
    COMMAND_CHANNELS = 1 << 18,   /* every argument is a channel */
    COMMAND_PATTERNS = 1 << 19,   /* every argument is a pattern of channels */
    COMMAND_CHANNEL = 1 << 20,    /* the first argument is a channel */
};

struct call {
    struct admin *admin;
    struct client *client;
    const struct command *command;
    uint16_t place; /* of the command in the catalogue of permissions (acl/catalogue.h) */
    const struct resp_arg *args; /* args[0] is the command, args[1] its subcommand if it has one */
    size_t count;
    bool pushes; /* its reply is a push: CLIENT REPLY OFF does not hold it back */
    struct reply reply;
};

struct command {
    const char *name; /* lower case; of a subcommand "sentinel|master" */
    int arity;        /* arguments, the name included; negative: at least so many */
    unsigned flags;
    void (*run)(struct call *call); /* NULL: it has subcommands */
    const struct command *subcommands;
    const char *since, *group;
    const char *tips; /* blank-separated, or NULL */
    const char *same; /* of a hidden one: the name it is the other name of */
};

/* All top-level commands. */
extern const struct command command_table[];
extern const size_t command_count;
/* The subcommands, defined beside their code. */
extern const struct command client_subcommands[], command_subcommands[], sentinel_subcommands[],
    acl_subcommands[];
extern const size_t client_subcommand_count, command_subcommand_count, sentinel_subcommand_count,
    acl_subcommand_count;

/* The ACL categories of a command, 1 << enum acl_category. */
uint32_t command_categories(const struct command *command);
/* Finds a command by what clients call it, or with sub a subcommand of it by its own name, in any
 * case. NULL: there is none. O(1). */
const struct command *command_find(const char *name, size_t len, const char *sub, size_t sub_len);
/* The place of the command, or of its subcommand, in the catalogue of permissions. O(1). */
uint16_t command_place(const struct command *command, const struct command *sub);
/* How many subcommands a command has. */
size_t command_subcommands_of(const struct command *command);
/* Before the first command_find; any thread, any number of times. */
void command_init(void);

/* Checks and executes one request; its reply goes to the admin's scratch, or comes later. */
void command_execute(struct client *c, const struct resp_arg *args, size_t count);

/* --- for commands ---------------------------------------------------------------------------- */
bool arg_is(const struct resp_arg *arg, const char *word); /* in any case */
/* A decimal number in its one spelling: an optional minus, no plus, blanks or leading zeros. */
bool arg_integer(const struct resp_arg *arg, int64_t *out);
bool arg_yes_no(const struct resp_arg *arg, bool *out);
char *arg_copy(const struct resp_arg *arg); /* malloc'd, NUL-terminated */
/* For errors: "%.*s" of an argument, cut at 128 bytes where stock cuts it, or whole. */
#define ARG_SHOWN(arg) (int)((arg)->len < 128 ? (arg)->len : 128), (arg)->text
#define ARG_WHOLE(arg) (int)(arg)->len, (arg)->text

void reply_wrong_arity(struct call *call);
void reply_syntax_error(struct call *call);
void reply_lines(struct call *call, const char *const *lines, size_t count); /* as HELP */

/* cmd_connection.c */
void command_ping(struct call *call);
void command_auth(struct call *call);
void command_hello(struct call *call);
void command_quit(struct call *call);
void command_reset(struct call *call);
void command_role(struct call *call);
void command_shutdown(struct call *call);
/* info.c */
void command_info(struct call *call);
/* cmd_command.c: COMMAND without a subcommand */
void command_command(struct call *call);
/* cmd_pubsub.c */
void command_subscribe(struct call *call);
void command_psubscribe(struct call *call);
void command_unsubscribe(struct call *call);
void command_punsubscribe(struct call *call);
void command_publish(struct call *call);
/* cmd_client.c: the line of CLIENT INFO, with its newline, appended */
void client_describe(const struct client *c, struct buffer *out);
/* cmd_client.c: whether the name may be a client's; "" may */
bool client_name_valid(const struct resp_arg *name);
void client_set_text(char **field, const struct resp_arg *value); /* "" clears it */
/* cmd_tracking.c */
void client_tracking(struct call *call);
void client_trackinginfo(struct call *call);
void client_getredir(struct call *call);
void client_caching(struct call *call);
void tracking_off(struct tracking *t); /* frees what it holds */
