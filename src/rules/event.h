/* Events: names, levels and texts (protocol.md §8). Pure.
 *
 * Thread: any; works on what it is given.
 */
#pragma once

#include "rules/types.h"

enum event_level { EVENT_DEBUG, EVENT_VERBOSE, EVENT_NOTICE, EVENT_WARNING };

/* X(identifier, "channel", level) */
#define EVENT_TABLE(X)                                                                             \
    X(MONITOR, "+monitor", WARNING)                                                                \
    X(UNMONITOR, "-monitor", WARNING)                                                              \
    X(SET, "+set", WARNING)                                                                        \
    X(RESET_MASTER, "+reset-master", WARNING)                                                      \
    X(SDOWN, "+sdown", WARNING)                                                                    \
    X(SDOWN_END, "-sdown", WARNING)                                                                \
    X(ODOWN, "+odown", WARNING)                                                                    \
    X(ODOWN_END, "-odown", WARNING)                                                                \
    X(NEW_EPOCH, "+new-epoch", WARNING)                                                            \
    X(TRY_FAILOVER, "+try-failover", WARNING)                                                      \
    X(VOTE_FOR_LEADER, "+vote-for-leader", WARNING)                                                \
    X(ELECTED_LEADER, "+elected-leader", WARNING)                                                  \
    X(STATE_SELECT_SLAVE, "+failover-state-select-slave", WARNING)                                 \
    X(SELECTED_SLAVE, "+selected-slave", WARNING)                                                  \
    X(ABORT_NOT_ELECTED, "-failover-abort-not-elected", WARNING)                                   \
    X(ABORT_NO_GOOD_SLAVE, "-failover-abort-no-good-slave", WARNING)                               \
    X(ABORT_SLAVE_TIMEOUT, "-failover-abort-slave-timeout", WARNING)                               \
    X(ABORT_MASTER_TIMEOUT, "-failover-abort-master-timeout", WARNING)                             \
    X(PROMOTED_SLAVE, "+promoted-slave", WARNING)                                                  \
    X(STATE_RECONF_SLAVES, "+failover-state-reconf-slaves", WARNING)                               \
    X(FAILOVER_END, "+failover-end", WARNING)                                                      \
    X(FAILOVER_END_FOR_TIMEOUT, "+failover-end-for-timeout", WARNING)                              \
    X(SWITCH_MASTER, "+switch-master", WARNING)                                                    \
    X(CONFIG_UPDATE_FROM, "+config-update-from", WARNING)                                          \
    X(TILT, "+tilt", WARNING)                                                                      \
    X(TILT_END, "-tilt", WARNING)                                                                  \
    X(SCRIPT_ERROR, "-script-error", WARNING)                                                      \
    X(SCRIPT_TIMEOUT, "-script-timeout", WARNING)                                                  \
    X(SLAVE, "+slave", NOTICE)                                                                     \
    X(SENTINEL, "+sentinel", NOTICE)                                                               \
    X(SENTINEL_ADDRESS_SWITCH, "+sentinel-address-switch", NOTICE)                                 \
    X(SENTINEL_ADDRESS_UPDATE, "+sentinel-address-update", NOTICE)                                 \
    X(SENTINEL_INVALID_ADDR, "+sentinel-invalid-addr", NOTICE)                                     \
    X(REBOOT, "+reboot", NOTICE)                                                                   \
    X(CONVERT_TO_SLAVE, "+convert-to-slave", NOTICE)                                               \
    X(FIX_SLAVE_CONFIG, "+fix-slave-config", NOTICE)                                               \
    X(STATE_SEND_SLAVEOF_NOONE, "+failover-state-send-slaveof-noone", NOTICE)                      \
    X(STATE_WAIT_PROMOTION, "+failover-state-wait-promotion", NOTICE)                              \
    X(SLAVE_RECONF_SENT, "+slave-reconf-sent", NOTICE)                                             \
    X(SLAVE_RECONF_INPROG, "+slave-reconf-inprog", NOTICE)                                         \
    X(SLAVE_RECONF_DONE, "+slave-reconf-done", NOTICE)                                             \
    X(SLAVE_RECONF_SENT_TIMEOUT, "-slave-reconf-sent-timeout", NOTICE)                             \
    X(SLAVE_RECONF_SENT_BE, "+slave-reconf-sent-be", NOTICE)                                       \
    X(ROLE_CHANGE, "+role-change", VERBOSE)                                                        \
    X(ROLE_CHANGE_BACK, "-role-change", VERBOSE)                                                   \
    X(CMD_LINK_RECONNECTION, "-cmd-link-reconnection", DEBUG)                                      \
    X(PUBSUB_LINK_RECONNECTION, "-pubsub-link-reconnection", DEBUG)                                \
    X(SCRIPT_CHILD, "+script-child", DEBUG)                                                        \
    X(SCRIPT_CHILD_END, "-script-child", DEBUG)

#define EVENT_ENUM(id, name, level) EVENT_##id,
enum event_type { EVENT_TABLE(EVENT_ENUM) EVENT_COUNT };
#undef EVENT_ENUM

const char *event_name(enum event_type type);       /* "+odown": the channel */
enum event_level event_level(enum event_type type); /* of its log line */
char event_level_mark(enum event_level level);      /* '#', '*', '-' or '.' */
