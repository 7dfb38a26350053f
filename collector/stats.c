/* SPDX-License-Identifier: Apache-2.0
 * See stats.h. */
#include "collector/stats.h"

struct metric collector_stats[STAT_COUNT] = {
#define STAT(id, kind_, name_, help_) [STAT_##id] = {.name = name_, .help = help_, .kind = kind_},
#include "collector/stats.def"
#undef STAT
};

bool stat_is_drop(enum stat_id id)
{
    return strstr(collector_stats[id].name, "_dropped_") || strstr(collector_stats[id].name, "_lost_");
}
