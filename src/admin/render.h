/* MASTER, REPLICAS, SENTINELS and INFO-CACHE as a stock sentinel gives them, field for field
 * (protocol.md §9).
 *
 * Thread: the shard that owns the group.
 */
#pragma once

#include "admin/reply.h"
#include "run/shard.h"

void render_master(const struct shard *s, const struct shard_group *sg, struct reply *r);
void render_replicas(const struct shard *s, const struct shard_group *sg, struct reply *r);
void render_sentinels(const struct shard *s, const struct shard_group *sg, struct reply *r);
/* The group's two elements of INFO-CACHE's reply. */
void render_info_cache(const struct shard *s, const struct shard_group *sg, struct reply *r);
void render_ckquorum(const struct shard *s, const struct shard_group *sg, struct reply *r);
