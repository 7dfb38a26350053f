/* SPDX-License-Identifier: Apache-2.0
 *
 * The collector's own events: what it notices about agents, sources and itself goes into the archive as batches like any
 * other, so that rules match it and it stays as evidence. Agent id zero, a stream of its own for each run of the
 * program, one ECS event a batch:
 *   event.module "vonggac", event.dataset "vonggac.health", event.kind "event", event.category ["host"],
 *   event.action "agent_silent" | "agent_back" | "source_silent" | "source_back" | "disk_low" | "disk_ok",
 *   host.name, agent.id, vonggac.source.name, vonggac.last_seen (each where it applies), message
 */
#pragma once

#include "collector/roster.h"
#include "collector/writer.h"

struct health;

struct health *health_new(void); /* NULL: out of memory */
struct health *health_free(struct health *h);

/* About an agent, or one of its sources when `source` is not NULL. 0 with a batch to push, or negative errno. */
int health_silence(struct health *h, const struct roster_agent *a, const struct roster_source *source, bool is_silent,
                   int64_t last_seen_ns, int64_t now_ns, struct write_item **ret);

/* About the disk the archive lies on. */
int health_disk(struct health *h, bool is_low, int64_t free_bytes, int64_t now_ns, struct write_item **ret);
