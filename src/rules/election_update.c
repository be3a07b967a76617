#include "rules/election_internal.h"

#include <stdlib.h>

void election_update_init(struct election_update *up)
{
    *up = (struct election_update){0};
}

void election_update_clear(struct election_update *up)
{
    up->record_count = 0;
    up->outcome_count = 0;
    up->reply_count = 0;
    up->promises = false;
}

void election_update_free(struct election_update *up)
{
    free(up->records);
    free(up->outcomes);
    free(up->replies);
    election_update_init(up);
}

struct record *update_record(struct election_update *up, enum record_kind kind, uint32_t gid,
                             uint64_t epoch)
{
    up->records =
        election_grow(up->records, up->record_count, &up->record_cap, sizeof *up->records);
    struct record *r = &up->records[up->record_count++];
    *r = (struct record){.kind = kind, .gid = gid, .epoch = epoch};
    up->promises = true;
    return r;
}

struct outcome *update_outcome(struct election_update *up, enum outcome_kind kind, uint32_t gid,
                               uint64_t epoch)
{
    up->outcomes =
        election_grow(up->outcomes, up->outcome_count, &up->outcome_cap, sizeof *up->outcomes);
    struct outcome *o = &up->outcomes[up->outcome_count++];
    *o = (struct outcome){.kind = kind, .gid = gid, .epoch = epoch};
    return o;
}

struct vote_reply *update_reply(struct election_update *up, uint32_t gid, const struct reply_to *to)
{
    up->replies = election_grow(up->replies, up->reply_count, &up->reply_cap, sizeof *up->replies);
    struct vote_reply *r = &up->replies[up->reply_count++];
    *r = (struct vote_reply){.to = *to, .gid = gid};
    return r;
}
