/* SPDX-License-Identifier: Apache-2.0
 *
 * Logging for the programs (libraries never log). To stderr, one line a message, with the <N> priority prefix when
 * journald listens (JOURNAL_STREAM), else with time and level. Each call site is limited to LOG_BURST lines in
 * LOG_INTERVAL; what was held back is counted and said, at the latest by log_flush. Control characters are escaped. Thread-safe. Secrets do not
 * belong into arguments.
 */
#pragma once

#include "common/diag.h"

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

#define LOG_BURST       10
#define LOG_INTERVAL_NS (10 * NS_PER_S)

struct log_site { /* one a call site, static, zero at first */
    int64_t window_start_ns;
    uint32_t in_window, held_back;
    enum log_level level;  /* of what was held back */
    const char *fmt;       /* its format, a literal */
    struct log_site *next; /* in the list of sites that have something to say */
};

void log_init(const char *program, enum log_level level);
int log_level_parse(struct str s, enum log_level *ret); /* error, warning, info, debug. 0 or -EINVAL */
void log_write(struct log_site *site, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4); /* keeps errno */
void log_flush(void);                   /* before the program ends: says what is still held back */
void log_diags(const struct diags *ds); /* each entry as file:line:col: message; not rate-limited */

#define LOG_AT(level, ...)                                                                                             \
    do {                                                                                                               \
        static struct log_site log_site_;                                                                              \
        log_write(&log_site_, level, __VA_ARGS__);                                                                     \
    } while (0)
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
