/* SPDX-License-Identifier: Apache-2.0
 *
 * Calendars as pure functions (days from civil and back in the proleptic Gregorian calendar, eras of 400 years with
 * the year starting in March, so that the leap day comes last), and the three time formats that logs use. The one hard
 * thing is RFC 3164, which has no year: see infer_year. Called by decoders for every line, so no allocation and no stdio.
 */
#include "common/time.h"

#include <errno.h>
#include <time.h>

#define DAY_S 86400

int64_t time_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t time_monotonic_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int32_t time_local_offset_s(int64_t ts_ns)
{
    int64_t s = ts_ns / NS_PER_S;
    time_t t = (time_t)s;
    struct tm tm;
    return localtime_r(&t, &tm) ? (int32_t)tm.tm_gmtoff : 0;
}

/* ---- calendar ---- */

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int year, int month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

bool civil_is_valid(const struct civil *c)
{
    return c->month >= 1 && c->month <= 12 && c->day >= 1 && c->day <= days_in_month(c->year, c->month) &&
           c->hour >= 0 && c->hour <= 23 && c->minute >= 0 && c->minute <= 59 && c->second >= 0 && c->second <= 60;
}

int64_t civil_to_unix_s(const struct civil *c)
{
    int64_t y = (int64_t)c->year - (c->month <= 2 ? 1 : 0);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t month = c->month > 2 ? c->month - 3 : c->month + 9; /* March is 0 */
    int64_t day_of_year = (153 * month + 2) / 5 + c->day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    int64_t days = era * 146097 + day_of_era - 719468;
    return days * DAY_S + c->hour * 3600 + c->minute * 60 + c->second;
}

void civil_from_unix_s(int64_t unix_s, struct civil *ret)
{
    int64_t days = unix_s / DAY_S;
    int64_t rest = unix_s % DAY_S;
    if (rest < 0) {
        rest += DAY_S;
        days--;
    }
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    ret->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    ret->month = (int)(month < 10 ? month + 3 : month - 9);
    ret->year = (int)(year_of_era + era * 400 + (ret->month <= 2 ? 1 : 0));
    ret->hour = (int)(rest / 3600);
    ret->minute = (int)(rest / 60 % 60);
    ret->second = (int)(rest % 60);
}

/* ---- reading ---- */

struct scan {
    const char *p, *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool scan_char(struct scan *in, char c)
{
    if (in->p >= in->end || *in->p != c)
        return false;
    in->p++;
    return true;
}

/* Exactly `width` digits. */
static bool scan_number(struct scan *in, int width, int *ret)
{
    int v = 0;
    if (in->end - in->p < width)
        return false;
    for (int i = 0; i < width; i++) {
        if (!is_digit(in->p[i]))
            return false;
        v = v * 10 + (in->p[i] - '0');
    }
    in->p += width;
    *ret = v;
    return true;
}

static bool scan_clock(struct scan *in, struct civil *c)
{
    return scan_number(in, 2, &c->hour) && scan_char(in, ':') && scan_number(in, 2, &c->minute) && scan_char(in, ':') &&
           scan_number(in, 2, &c->second);
}

static bool scan_month_name(struct scan *in, int *ret)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (in->end - in->p < 3)
        return false;
    for (int m = 0; m < 12; m++) {
        if (str_eq_nocase((struct str){names + m * 3, 3}, (struct str){in->p, 3})) {
            in->p += 3;
            *ret = m + 1;
            return true;
        }
    }
    return false;
}

/* '.' or ',' and digits; without a digit behind it the mark belongs to the text that follows. */
static int64_t scan_fraction_ns(struct scan *in)
{
    if (in->end - in->p < 2 || (*in->p != '.' && *in->p != ',') || !is_digit(in->p[1]))
        return 0;
    in->p++;
    int64_t ns = 0, unit = NS_PER_S / 10;
    for (; in->p < in->end && is_digit(*in->p); in->p++) {
        ns += (*in->p - '0') * unit;
        unit /= 10; /* zero behind the ninth digit: further ones do not count */
    }
    return ns;
}

/* "+07:00" or "+0700", and "+07" where no further digit follows. Restores `in` where there is none. */
static bool scan_offset(struct scan *in, int64_t *ret_s)
{
    struct scan at = *in;
    int hours, minutes = 0;
    bool is_west = scan_char(&at, '-');
    if (!is_west && !scan_char(&at, '+'))
        return false;
    if (!scan_number(&at, 2, &hours) || hours > 23)
        return false;
    struct scan after_hours = at;
    bool has_colon = scan_char(&at, ':');
    if (scan_number(&at, 2, &minutes)) {
        if (minutes > 59)
            return false;
    } else {
        at = after_hours;
        if (!has_colon && at.p < at.end && is_digit(*at.p))
            return false;
        minutes = 0;
    }
    if (at.p < at.end && is_digit(*at.p))
        return false;
    *ret_s = (is_west ? -1 : 1) * (hours * 3600 + minutes * 60);
    *in = at;
    return true;
}

static int to_ts_ns(const struct civil *c, int64_t offset_s, int64_t fraction_ns, int64_t *ret)
{
    int64_t s = civil_to_unix_s(c) - offset_s;
    int64_t ns;
    if (__builtin_mul_overflow(s, NS_PER_S, &ns) || __builtin_add_overflow(ns, fraction_ns, &ns))
        return -EINVAL; /* outside 1677 to 2262 */
    *ret = ns;
    return 0;
}

int time_parse_rfc3339(struct str s, int64_t *ret_ts_ns, bool *ret_has_zone, size_t *ret_len)
{
    struct scan in = {s.p, s.p ? s.p + s.len : NULL};
    struct civil c;
    if (!scan_number(&in, 4, &c.year) || !scan_char(&in, '-') || !scan_number(&in, 2, &c.month) ||
        !scan_char(&in, '-') || !scan_number(&in, 2, &c.day))
        return -EINVAL;
    if (!scan_char(&in, 'T') && !scan_char(&in, 't') && !scan_char(&in, ' '))
        return -EINVAL;
    if (!scan_clock(&in, &c) || !civil_is_valid(&c))
        return -EINVAL;
    if (in.p < in.end && is_digit(*in.p))
        return -EINVAL;
    int64_t fraction_ns = scan_fraction_ns(&in);
    int64_t offset_s = 0;
    bool has_zone = scan_char(&in, 'Z') || scan_char(&in, 'z') || scan_offset(&in, &offset_s);
    int64_t ts_ns;
    int r = to_ts_ns(&c, offset_s, fraction_ns, &ts_ns);
    if (r < 0)
        return r;
    *ret_ts_ns = ts_ns;
    *ret_has_zone = has_zone;
    *ret_len = (size_t)(in.p - s.p);
    return 0;
}

/* The latest year in which the date exists and does not lie more than one day after `near`: a day of tolerance for
 * clocks and zones that disagree. Ten years back are enough for any 29 February (1896 to 1904 and the like). */
static int infer_year(struct civil *c, int64_t near_ns, int32_t tz_offset_s, int64_t *ret_ts_ns)
{
    int64_t limit_ns;
    if (__builtin_add_overflow(near_ns, DAY_S * NS_PER_S, &limit_ns))
        limit_ns = INT64_MAX;
    struct civil limit;
    civil_from_unix_s(limit_ns / NS_PER_S + tz_offset_s, &limit);
    for (int year = limit.year + 1; year >= limit.year - 10; year--) {
        c->year = year;
        int64_t ts_ns;
        if (civil_is_valid(c) && to_ts_ns(c, tz_offset_s, 0, &ts_ns) == 0 && ts_ns <= limit_ns) {
            *ret_ts_ns = ts_ns;
            return 0;
        }
    }
    return -EINVAL;
}

int time_parse_rfc3164(struct str s, int64_t near_ns, int32_t tz_offset_s, int64_t *ret_ts_ns, size_t *ret_len)
{
    struct scan in = {s.p, s.p ? s.p + s.len : NULL};
    struct civil c = {0};
    if (!scan_month_name(&in, &c.month) || !scan_char(&in, ' '))
        return -EINVAL;
    bool is_padded = scan_char(&in, ' ');
    if ((is_padded || !scan_number(&in, 2, &c.day)) && !scan_number(&in, 1, &c.day))
        return -EINVAL;
    if (!scan_char(&in, ' ') || !scan_clock(&in, &c))
        return -EINVAL;
    if (in.p < in.end && is_digit(*in.p))
        return -EINVAL;
    int r = infer_year(&c, near_ns, tz_offset_s, ret_ts_ns);
    if (r == 0)
        *ret_len = (size_t)(in.p - s.p);
    return r;
}

int time_parse_clf(struct str s, int64_t *ret_ts_ns, size_t *ret_len)
{
    struct scan in = {s.p, s.p ? s.p + s.len : NULL};
    struct civil c;
    int64_t offset_s;
    if (!scan_number(&in, 2, &c.day) || !scan_char(&in, '/') || !scan_month_name(&in, &c.month) ||
        !scan_char(&in, '/') || !scan_number(&in, 4, &c.year) || !scan_char(&in, ':') || !scan_clock(&in, &c))
        return -EINVAL;
    if (!scan_char(&in, ' ') || !scan_offset(&in, &offset_s) || !civil_is_valid(&c))
        return -EINVAL;
    int r = to_ts_ns(&c, offset_s, 0, ret_ts_ns);
    if (r == 0)
        *ret_len = (size_t)(in.p - s.p);
    return r;
}

/* ---- writing ---- */

static char *put_digits(char *p, int64_t v, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        p[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return p + width;
}

static void format_utc(int64_t ts_ns, int decimals, char ret[static TIME_RFC3339_LEN])
{
    int64_t s = ts_ns / NS_PER_S;
    int64_t ns = ts_ns % NS_PER_S;
    if (ns < 0) {
        ns += NS_PER_S;
        s--;
    }
    for (int i = decimals; i < 9; i++)
        ns /= 10;
    struct civil c;
    civil_from_unix_s(s, &c);
    char *p = put_digits(ret, c.year, 4);
    *p++ = '-';
    p = put_digits(p, c.month, 2);
    *p++ = '-';
    p = put_digits(p, c.day, 2);
    *p++ = 'T';
    p = put_digits(p, c.hour, 2);
    *p++ = ':';
    p = put_digits(p, c.minute, 2);
    *p++ = ':';
    p = put_digits(p, c.second, 2);
    *p++ = '.';
    p = put_digits(p, ns, decimals);
    *p++ = 'Z';
    *p = '\0';
}

void time_format_rfc3339(int64_t ts_ns, char ret[static TIME_RFC3339_LEN])
{
    format_utc(ts_ns, 9, ret);
}

void time_format_stix(int64_t ts_ns, char ret[static TIME_RFC3339_LEN])
{
    format_utc(ts_ns, 3, ret);
}
