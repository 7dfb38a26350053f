/* SPDX-License-Identifier: Apache-2.0
 *
 * The table behind counters.h. Every name starts with vonggac_agent_.
 */
#include "agent/counters.h"

struct metric agent_metrics[M_COUNT] = {
#define X(id, text, which, about) [M_##id] = {.name = "vonggac_agent_" text, .help = about, .kind = METRIC_##which},
    AGENT_METRICS(X)
#undef X
};
