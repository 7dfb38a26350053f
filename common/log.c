/* SPDX-License-Identifier: Apache-2.0
 *
 * One line a message to stderr, in one write, so that lines of several threads do not mix. The one hard thing is what a
 * silent call site held back: sites that hold something back are linked in a list, and whoever logs next after their
 * window says it for them. Called by the programs; libraries hand up a diag instead.
 */
#include "common/log.h"

#include "common/time.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define LINE_MAX_BYTES 4096

static struct {
    pthread_mutex_t lock;
    char program[32];
    enum log_level level;
    bool is_journal;
    struct log_site *holding; /* sites that held something back and have not said so */
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .program = "vonggac", .level = LOG_LEVEL_INFO};

/* systemd.exec(5): JOURNAL_STREAM is "device:inode" of the pipe to the journal; it is inherited, so it only counts when
 * stderr still is that file. */
static bool stderr_is_journal(void)
{
    const char *z = getenv("JOURNAL_STREAM");
    const char *colon = z ? strchr(z, ':') : NULL;
    uint64_t device, inode;
    struct stat st;
    if (!colon || parse_u64((struct str){z, (size_t)(colon - z)}, 0, UINT64_MAX, &device) < 0 ||
        parse_u64(str_of(colon + 1), 0, UINT64_MAX, &inode) < 0)
        return false;
    return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *program, enum log_level level)
{
    pthread_mutex_lock(&logger.lock);
    snprintf(logger.program, sizeof(logger.program), "%s", program);
    logger.level = level;
    logger.is_journal = stderr_is_journal();
    pthread_mutex_unlock(&logger.lock);
}

int log_level_parse(struct str s, enum log_level *ret)
{
    static const struct {
        struct str name;
        enum log_level level;
    } levels[] = {
        {{"error", 5}, LOG_LEVEL_ERROR},
        {{"warning", 7}, LOG_LEVEL_WARN},
        {{"info", 4}, LOG_LEVEL_INFO},
        {{"debug", 5}, LOG_LEVEL_DEBUG},
    };
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (str_eq(levels[i].name, s)) {
            *ret = levels[i].level;
            return 0;
        }
    }
    return -EINVAL;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error";
    case LOG_LEVEL_WARN:
        return "warning";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_DEBUG:
        break;
    }
    return "debug";
}

/* Copies text with control characters (C0, DEL, C1) and bytes that are not UTF-8 as escapes: what came over the network
 * must not forge lines or steer terminals. Returns the new length; stops where `size` is reached. */
static size_t copy_escaped(char *to, size_t size, const char *from)
{
    struct str s = str_of(from);
    size_t at = 0;
    while (s.len > 0) {
        const uint8_t c = (uint8_t)s.p[0];
        size_t n = utf8_char_len(s);
        bool is_control = c < 0x20 || c == 0x7F || (n == 2 && c == 0xC2 && (uint8_t)s.p[1] < 0xA0);
        if (n == 0 || is_control) {
            if (size - at < 5)
                break;
            int k = c == '\n'   ? snprintf(to + at, size - at, "\\n")
                    : c == '\t' ? snprintf(to + at, size - at, "\\t")
                                : snprintf(to + at, size - at, "\\x%02x", n == 2 ? (uint8_t)s.p[1] : c);
            at += (size_t)k;
            n = MAX(n, (size_t)1);
        } else {
            if (size - at < n)
                break;
            memcpy(to + at, s.p, n);
            at += n;
        }
        s.p += n;
        s.len -= n;
    }
    return at;
}

/* With the lock held. */
static void write_line(enum log_level level, const char *text)
{
    char line[LINE_MAX_BYTES];
    int n;
    if (logger.is_journal) {
        n = snprintf(line, sizeof(line), "<%d>", (int)level);
    } else {
        char now[TIME_RFC3339_LEN];
        time_format_stix(time_now_ns(), now);
        n = snprintf(line, sizeof(line), "%s %s[%d] %s: ", now, logger.program, (int)getpid(), level_name(level));
    }
    size_t len = (size_t)n;
    len += copy_escaped(line + len, sizeof(line) - 1 - len, text);
    line[len++] = '\n';
    ssize_t w;
    do
        w = write(STDERR_FILENO, line, len);
    while (w < 0 && errno == EINTR); /* any other failure: there is nobody left to tell */
}

static void write_format(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void write_format(enum log_level level, const char *fmt, ...)
{
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n >= 0)
        write_line(level, text);
}

/* Says what sites held back in windows that are over; all of them when `is_final`. With the lock held. */
static void report_held_back(int64_t now_ns, bool is_final)
{
    for (struct log_site **at = &logger.holding; *at;) {
        struct log_site *site = *at;
        if (!is_final && now_ns - site->window_start_ns < LOG_INTERVAL_NS) {
            at = &site->next;
            continue;
        }
        *at = site->next;
        site->next = NULL;
        write_format(site->level, "held back %u more like this: %s", site->held_back, site->fmt);
        site->held_back = 0;
    }
}

/* With the lock held. */
static bool site_may_write(struct log_site *site, enum log_level level, const char *fmt, int64_t now_ns)
{
    if (site->in_window == 0 || now_ns - site->window_start_ns >= LOG_INTERVAL_NS) {
        site->window_start_ns = now_ns;
        site->in_window = 0;
    }
    if (site->in_window < LOG_BURST) {
        site->in_window++;
        return true;
    }
    if (site->held_back == 0) {
        site->level = level;
        site->fmt = fmt;
        site->next = logger.holding;
        logger.holding = site;
    }
    if (site->held_back < UINT32_MAX)
        site->held_back++;
    return false;
}

void log_write(struct log_site *site, enum log_level level, const char *fmt, ...)
{
    int saved_errno = errno;
    int64_t now_ns = time_monotonic_ns();
    pthread_mutex_lock(&logger.lock);
    if (level <= logger.level) {
        report_held_back(now_ns, false);
        if (site_may_write(site, level, fmt, now_ns)) {
            char text[LINE_MAX_BYTES];
            va_list args;
            va_start(args, fmt);
            int n = vsnprintf(text, sizeof(text), fmt, args);
            va_end(args);
            if (n >= 0)
                write_line(level, text);
        }
    }
    pthread_mutex_unlock(&logger.lock);
    errno = saved_errno;
}

void log_flush(void)
{
    pthread_mutex_lock(&logger.lock);
    report_held_back(0, true);
    pthread_mutex_unlock(&logger.lock);
}

void log_diags(const struct diags *ds)
{
    pthread_mutex_lock(&logger.lock);
    for (size_t i = 0; i < ds->n; i++) {
        const struct diag_entry *e = &ds->entries[i];
        enum log_level level = e->is_warning ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR;
        const char *separator = e->file[0] ? ": " : "";
        if (level > logger.level)
            continue;
        if (e->diag.line > 0)
            write_format(level, "%s:%d:%d: %s", e->file, e->diag.line, e->diag.col, e->diag.msg);
        else
            write_format(level, "%s%s%s", e->file, separator, e->diag.msg);
    }
    if (ds->dropped > 0)
        write_format(LOG_LEVEL_WARN, "%zu more problems are not shown", ds->dropped);
    pthread_mutex_unlock(&logger.lock);
}
