/* SPDX-License-Identifier: Apache-2.0
 *
 * Every counter and gauge of the agent, in one table: what the heartbeat carries and `vonggac-agent status` prints.
 * Each place where something may be dropped, cut or skipped has its own row, so that no loss is silent.
 */
#pragma once

#include "common/metrics.h"

#define AGENT_METRICS(X)                                                                                               \
    X(RECORDS, "records_total", COUNTER, "Lines and journal entries put into the spool")                               \
    X(RAW_BYTES, "raw_bytes_total", COUNTER, "Bytes of those lines before compression")                                \
    X(BATCHES, "batches_total", COUNTER, "Batches put into the spool")                                                 \
    X(FILES, "files", GAUGE, "Files being followed")                                                                   \
    X(FILES_UNREADABLE, "files_unreadable", GAUGE, "Files that match but cannot be opened")                            \
    X(FILES_OVER_LIMIT, "files_over_limit", GAUGE, "Files that match but are over files_max")                          \
    X(FILES_NO_DESCRIPTOR, "files_no_descriptor_total", COUNTER, "Times no file descriptor was left")                  \
    X(COPIES_SKIPPED, "copies_skipped", GAUGE, "Files that match but are copies of a file already read")               \
    X(COMPRESSED_SKIPPED, "compressed_skipped", GAUGE, "Files that match but are compressed")                          \
    X(ROTATIONS, "rotations_total", COUNTER, "Files renamed or removed while being followed")                          \
    X(TRUNCATIONS, "truncations_total", COUNTER, "Files cut or overwritten in place")                                  \
    X(COPIES_RECOVERED, "copies_recovered_total", COUNTER, "Copies from which the rest of a cut file was read")        \
    X(FILES_GONE, "files_gone_total", COUNTER, "Files that vanished before their end was known to be read")            \
    X(BYTES_LOST, "bytes_lost_total", COUNTER, "Bytes known to have been written and never read")                      \
    X(LINES_CUT, "lines_cut_total", COUNTER, "Lines cut to the maximum length")                                        \
    X(LINE_BYTES_CUT, "line_bytes_cut_total", COUNTER, "Bytes left out of cut lines")                                  \
    X(LINES_UNFINISHED, "lines_unfinished_total", COUNTER, "Last lines of finished files that had no newline")         \
    X(READ_ERRORS, "read_errors_total", COUNTER, "Errors while reading a followed file")                               \
    X(WATCHES_MISSING, "watches_missing_total", COUNTER, "inotify watches refused; the periodic scan does their work") \
    X(JOURNAL_ENTRIES, "journal_entries_total", COUNTER, "Journal entries read")                                       \
    X(JOURNAL_CUT, "journal_fields_cut_total", COUNTER, "Over-large journal fields cut or left out")                   \
    X(JOURNAL_CURSOR_LOST, "journal_cursor_lost_total", COUNTER, "Times the journal no longer held our position")      \
    X(JOURNAL_ERRORS, "journal_errors_total", COUNTER, "Errors while reading the journal")                             \
    X(JOURNAL_MISSING, "journal_missing_total", COUNTER, "Tries that found no journal to read")                        \
    X(SPOOL_BYTES, "spool_bytes", GAUGE, "Bytes in the spool")                                                         \
    X(SPOOL_FULL, "spool_full", GAUGE, "1 while the spool is full and sources are not read")                           \
    X(SPOOL_FULLS, "spool_full_total", COUNTER, "Times the spool ran full")                                            \
    X(SPOOL_DAMAGED_BYTES, "spool_damaged_bytes_total", COUNTER, "Bytes of the spool that were not valid batches")     \
    X(SPOOL_WRITE_ERRORS, "spool_write_errors_total", COUNTER, "Failed writes to the spool (disk full)")               \
    X(POSITION_ERRORS, "position_errors_total", COUNTER, "Failed writes of the positions file")                        \
    X(SENT, "sent_batches_total", COUNTER, "Batches sent, repeats included")                                           \
    X(SENT_BYTES, "sent_bytes_total", COUNTER, "Bytes of those batches")                                               \
    X(ACKED, "acked_batches_total", COUNTER, "Batches the collector has on disk")                                      \
    X(CONNECTED, "connected", GAUGE, "1 while the collector has welcomed us")                                          \
    X(CONNECTS, "connects_total", COUNTER, "Times the collector welcomed us")                                          \
    X(CONNECT_ERRORS, "connect_errors_total", COUNTER, "Connections that failed or broke")                             \
    X(RENEWALS, "renewals_total", COUNTER, "Certificates renewed")

enum agent_metric {
#define X(id, name, kind, help) M_##id,
    AGENT_METRICS(X)
#undef X
        M_COUNT
};

extern struct metric agent_metrics[M_COUNT];

static inline void count(enum agent_metric m, uint64_t by)
{
    metric_add(&agent_metrics[m], (int64_t)by);
}

static inline void gauge(enum agent_metric m, uint64_t v)
{
    metric_set(&agent_metrics[m], (int64_t)v);
}

static inline int64_t metric_of(enum agent_metric m)
{
    return metric_get(&agent_metrics[m]);
}
