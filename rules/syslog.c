/* SPDX-License-Identifier: Apache-2.0
 *
 * RFC 3164 is a description of habits, not a format, so the rules here are: a time we know, then a host unless the next
 * word already ends like a tag, then a tag when the word ends in ':' . Whatever does not fit stays in the message: a line
 * must never lose text. Called by the decoder for each text line; most time goes into the time stamp.
 */
#include "rules/syslog.h"

#include "common/time.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct str skip(struct str s, size_t n)
{
    return (struct str){s.p + n, s.len - n};
}

/* The next word: up to a space or the end, at most max bytes. False when it is empty or too long. */
static bool take_word(struct str *s, size_t max, struct str *ret)
{
    const char *sp = s->len ? memchr(s->p, ' ', s->len) : NULL;
    size_t len = sp ? (size_t)(sp - s->p) : s->len;
    if (len == 0 || len > max)
        return false;
    *ret = (struct str){s->p, len};
    *s = skip(*s, sp ? len + 1 : len);
    return true;
}

static bool take_pri(struct str *s, int *ret)
{
    unsigned v = 0;
    size_t i = 1;
    while (i < s->len && i < 4 && is_digit(s->p[i]))
        v = v * 10 + (unsigned)(s->p[i++] - '0');
    if (i == 1 || i >= s->len || s->p[i] != '>' || v > 191)
        return false;
    *ret = (int)v;
    *s = skip(*s, i + 1);
    return true;
}

/* A time without a zone is the writer's. */
static bool from_local(struct syslog *ret, int32_t tz_offset_s)
{
    ret->ts_is_guessed = true;
    return !__builtin_sub_overflow(ret->ts_ns, tz_offset_s * NS_PER_S, &ret->ts_ns);
}

static bool take_time(struct str *s, int64_t near_ns, int32_t tz_offset_s, struct syslog *ret)
{
    size_t len = 0;
    if (s->len < 15)
        return false;
    if (is_digit(s->p[0])) {
        bool has_zone = false;
        if (s->p[4] != '-' || time_parse_rfc3339(*s, &ret->ts_ns, &has_zone, &len) < 0)
            return false;
        if (!has_zone && !from_local(ret, tz_offset_s))
            return false;
    } else {
        if (s->p[0] < 'A' || s->p[0] > 'S' || s->p[3] != ' ' ||
            time_parse_rfc3164(*s, near_ns, tz_offset_s, &ret->ts_ns, &len) < 0)
            return false;
        ret->ts_is_guessed = true; /* year and zone */
    }
    if (len >= s->len || s->p[len] != ' ')
        return false;
    ret->has_ts = true;
    *s = skip(*s, len + 1);
    while (s->len && s->p[0] == ' ')
        *s = skip(*s, 1);
    return true;
}

/* Splits "prog[12]:" or "prog:". */
static bool split_tag(struct str word, struct syslog *ret)
{
    if (word.len < 2 || word.len > SYSLOG_PROGRAM_MAX || word.p[word.len - 1] != ':')
        return false;
    word.len--;
    ret->program = word;
    if (word.p[word.len - 1] != ']')
        return true;
    size_t open = word.len - 1;
    while (open > 0 && word.p[open] != '[')
        open--;
    if (open == 0)
        return true;
    ret->program.len = open;
    struct str pid = {word.p + open + 1, word.len - open - 2};
    if (parse_i64(pid, 0, INT32_MAX, &ret->pid) < 0)
        ret->pid = -1;
    return true;
}

static void take_host_and_tag(struct str s, struct syslog *ret)
{
    struct str word, rest = s;
    ret->msg = s;
    if (!take_word(&rest, SYSLOG_HOST_MAX, &word))
        return;
    if (split_tag(word, ret)) { /* written on the machine itself: no host */
        ret->msg = rest;
        return;
    }
    ret->host = word;
    ret->msg = rest;
    if (take_word(&rest, SYSLOG_PROGRAM_MAX, &word) && split_tag(word, ret))
        ret->msg = rest;
}

/* Skips RFC 5424 structured data: "-" or one or more [id name="value" ...], where a value escapes '"', '\' and ']'. */
static bool skip_structured_data(struct str *s)
{
    size_t i = 0;
    if (s->len && s->p[0] == '-') {
        i = 1;
    } else {
        while (i < s->len && s->p[i] == '[') {
            bool in_value = false;
            for (i++; i < s->len && (in_value || s->p[i] != ']'); i++) {
                if (s->p[i] == '"')
                    in_value = !in_value;
                else if (s->p[i] == '\\' && in_value)
                    i++;
            }
            if (i >= s->len)
                return false;
            i++;
        }
        if (i == 0)
            return false;
    }
    if (i < s->len && s->p[i] != ' ')
        return false;
    *s = skip(*s, MIN(i + 1, s->len));
    return true;
}

/* RFC 5424 section 6, behind "<PRI>1 ". */
static bool parse_5424(struct str s, int32_t tz_offset_s, struct syslog *ret)
{
    struct str stamp, host, program, pid, msgid;
    if (!take_word(&s, 64, &stamp) || !take_word(&s, SYSLOG_HOST_MAX, &host) ||
        !take_word(&s, SYSLOG_PROGRAM_MAX, &program) || !take_word(&s, 128, &pid) || !take_word(&s, 128, &msgid) ||
        !skip_structured_data(&s))
        return false;
    if (!str_eq(stamp, STR("-"))) {
        bool has_zone = false;
        size_t len = 0;
        if (time_parse_rfc3339(stamp, &ret->ts_ns, &has_zone, &len) < 0 || len != stamp.len)
            return false;
        if (!has_zone && !from_local(ret, tz_offset_s))
            return false;
        ret->has_ts = true;
    }
    if (!str_eq(host, STR("-")))
        ret->host = host;
    if (!str_eq(program, STR("-")))
        ret->program = program;
    if (parse_i64(pid, 0, INT32_MAX, &ret->pid) < 0)
        ret->pid = -1;
    if (str_starts(s, STR("\xEF\xBB\xBF")))
        s = skip(s, 3);
    ret->msg = str_trim(s);
    return true;
}

bool syslog_parse(struct str line, int64_t near_ns, int32_t tz_offset_s, struct syslog *ret)
{
    *ret = (struct syslog){.pri = -1, .pid = -1};
    struct str s = line;
    bool has_pri = false;
    if (s.len < 8)
        return false;
    if (s.p[0] == '<') {
        has_pri = take_pri(&s, &ret->pri);
        if (!has_pri)
            return false;
        if (s.len > 2 && s.p[0] == '1' && s.p[1] == ' ')
            return parse_5424(skip(s, 2), tz_offset_s, ret);
    }
    if (!take_time(&s, near_ns, tz_offset_s, ret)) {
        struct str word, rest = s;
        if (!has_pri || !take_word(&rest, SYSLOG_PROGRAM_MAX, &word) || !split_tag(word, ret))
            return false; /* "<13>prog: text" is allowed to a sender; without a tag it is anything */
        s = rest;
        ret->msg = str_trim(s);
        return true;
    }
    take_host_and_tag(s, ret);
    ret->msg = str_trim(ret->msg);
    return true;
}

bool syslog_repeated(struct str msg, int64_t *ret_times, struct str *ret_inner)
{
    static const char head[] = "message repeated ", mid[] = " times: [";
    if (!str_starts(msg, STR(head)) || msg.p[msg.len - 1] != ']')
        return false;
    struct str s = skip(msg, sizeof(head) - 1), number;
    s.len--;
    struct str rest = s;
    if (!take_word(&rest, 10, &number) || parse_i64(number, 1, INT32_MAX, ret_times) < 0)
        return false;
    s = skip(s, number.len);
    if (!str_starts(s, STR(mid)))
        return false;
    *ret_inner = str_trim(skip(s, sizeof(mid) - 1));
    return true;
}

struct str syslog_severity(int severity)
{
    static const struct str names[8] = {
        {"emerg", 5}, {"alert", 5}, {"crit", 4}, {"err", 3}, {"warning", 7}, {"notice", 6}, {"info", 4}, {"debug", 5},
    };
    return severity >= 0 && severity < 8 ? names[severity] : (struct str){0};
}
