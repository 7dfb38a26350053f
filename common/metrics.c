/* SPDX-License-Identifier: Apache-2.0
 *
 * Printing tables of counters, for Prometheus and for the agent's heartbeat. Called by the programs' metrics pages; the
 * counters themselves are changed in place through metrics.h.
 */
#include "common/metrics.h"

#include <inttypes.h>

/* The text format wants backslash and line feed escaped in help texts, nothing else. */
static int append_help(struct buf *out, const char *z)
{
    int r = 0;
    for (; r == 0 && *z; z++) {
        if (*z == '\\')
            r = buf_append_z(out, "\\\\");
        else if (*z == '\n')
            r = buf_append_z(out, "\\n");
        else
            r = buf_append(out, z, 1);
    }
    return r;
}

static int append_metric(struct metric *m, struct buf *out)
{
    int r = buf_printf(out, "# HELP %s ", m->name);
    if (r == 0)
        r = append_help(out, m->help);
    if (r == 0)
        r = buf_printf(out, "\n# TYPE %s %s\n%s %" PRId64 "\n", m->name,
                       m->kind == METRIC_COUNTER ? "counter" : "gauge", m->name, metric_get(m));
    return r;
}

int metrics_print(struct metric *metrics, size_t n, struct buf *out)
{
    size_t before = out->len;
    for (size_t i = 0; i < n; i++) {
        int r = append_metric(&metrics[i], out);
        if (r < 0) {
            out->len = before;
            return r;
        }
    }
    return 0;
}

static int append_json(struct metric *metrics, size_t n, struct buf *out)
{
    int r = buf_append_z(out, "{");
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (i > 0)
            r = buf_append_z(out, ",");
        if (r == 0)
            r = buf_append_json(out, str_of(metrics[i].name));
        if (r == 0)
            r = buf_printf(out, ":%" PRId64, metric_get(&metrics[i]));
    }
    return r < 0 ? r : buf_append_z(out, "}");
}

int metrics_json(struct metric *metrics, size_t n, struct buf *out)
{
    size_t before = out->len;
    int r = append_json(metrics, n, out);
    if (r < 0)
        out->len = before;
    return r;
}
