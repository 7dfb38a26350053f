/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/date_part.h"

#include "common/time.h"

#include <stdlib.h>

enum { HAS_DAY = 1, HAS_YEAR = 2, HAS_TIME = 4 };

/* Exactly n digits at the start of *s, which moves behind them. -1: there are none. */
static int digits(struct str *s, size_t n)
{
    int ret = 0;
    if (s->len < n)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return -1;
        ret = ret * 10 + (s->p[i] - '0');
    }
    *s = (struct str){s->p + n, s->len - n};
    return ret;
}

static bool take(struct str *s, const char *one_of)
{
    if (s->len == 0 || !s->p[0] || !strchr(one_of, s->p[0]))
        return false;
    *s = (struct str){s->p + 1, s->len - 1};
    return true;
}

static int month_name(struct str *s)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; s->len >= 3 && i < 12; i++) {
        if (!str_eq_nocase((struct str){s->p, 3}, (struct str){names + 3 * i, 3}))
            continue;
        *s = (struct str){s->p + 3, s->len - 3};
        return i + 1;
    }
    return -1;
}

/* "13:55" and whatever follows. */
static int clock_time(struct str s, struct civil *c)
{
    int hour = digits(&s, 2), minute = hour >= 0 && take(&s, ":") ? digits(&s, 2) : -1;
    if (minute < 0)
        return 0;
    c->hour = hour;
    c->minute = minute;
    return HAS_TIME;
}

static int year_first(struct str s, struct civil *c)
{
    c->year = digits(&s, 4);
    if (c->year < 0 || !take(&s, "-/"))
        return 0;
    c->month = digits(&s, 2);
    if (!take(&s, "-/"))
        return 0;
    c->day = digits(&s, 2);
    int has_time = take(&s, "Tt ") ? clock_time(s, c) : 0;
    return HAS_DAY | HAS_YEAR | has_time;
}

static int day_first(struct str s, struct civil *c)
{
    c->day = digits(&s, 2);
    if (!take(&s, "/"))
        return 0;
    c->month = month_name(&s);
    if (!take(&s, "/"))
        return 0;
    c->year = digits(&s, 4);
    int has_time = take(&s, ":") ? clock_time(s, c) : 0;
    return HAS_DAY | HAS_YEAR | has_time;
}

static int month_first(struct str s, struct civil *c)
{
    c->month = month_name(&s);
    if (c->month < 0 || !take(&s, " "))
        return 0;
    c->day = take(&s, " ") || s.len < 2 || s.p[1] == ' ' ? digits(&s, 1) : digits(&s, 2);
    int has_time = take(&s, " ") ? clock_time(s, c) : 0;
    return has_time ? HAS_DAY | has_time : 0;
}

static int since_1970(struct str s, struct civil *c)
{
    char z[64], *end;
    if (s.len == 0 || s.len >= sizeof(z) || !strchr("-.0123456789", s.p[0]))
        return 0;
    memcpy(z, s.p, s.len);
    z[s.len] = 0;
    double t = strtod(z, &end), size = t < 0 ? -t : t;
    if (end != z + s.len || !(size < 9.3e18))
        return 0;
    int64_t units = (int64_t)t, per_s = size < 1e11 ? 1 : size < 1e14 ? 1000 : size < 1e17 ? 1000000 : 1000000000;
    civil_from_unix_s(units / per_s - (units % per_s < 0 || (units == 0 && t < 0)), c);
    return HAS_DAY | HAS_YEAR | HAS_TIME;
}

/* ISO 8601: the week belongs to the year that has its Thursday. */
static int64_t iso_week(const struct civil *c)
{
    const int64_t day_s = 86400;
    struct civil at = {c->year, c->month, c->day, 0, 0, 0};
    int64_t day = civil_to_unix_s(&at) / day_s;
    int64_t weekday = ((day + 3) % 7 + 7) % 7; /* 0: Monday; 1970 began on a Thursday */
    int64_t thursday = day - weekday + 3;
    civil_from_unix_s(thursday * day_s, &at);
    at = (struct civil){at.year, 1, 1, 0, 0, 0};
    return (thursday - civil_to_unix_s(&at) / day_s) / 7 + 1;
}

bool date_part(struct str text, enum date_part part, int64_t *ret)
{
    static int (*const forms[])(struct str s, struct civil * c) = {year_first, day_first, month_first, since_1970};
    struct civil c;
    int has = 0;
    for (size_t i = 0; has == 0 && i < ARRAY_LEN(forms); i++) {
        c = (struct civil){1972, 1, 1, 0, 0, 0}; /* a leap year, where the text has none */
        has = forms[i](text, &c);
    }
    if (has == 0 || !civil_is_valid(&c))
        return false;
    bool is_time = part == DATE_MINUTE || part == DATE_HOUR, is_year = part == DATE_YEAR || part == DATE_WEEK;
    if ((is_time && !(has & HAS_TIME)) || (is_year && !(has & HAS_YEAR)))
        return false;
    switch (part) {
    case DATE_MINUTE:
        *ret = c.minute;
        return true;
    case DATE_HOUR:
        *ret = c.hour;
        return true;
    case DATE_DAY:
        *ret = c.day;
        return true;
    case DATE_WEEK:
        *ret = iso_week(&c);
        return true;
    case DATE_MONTH:
        *ret = c.month;
        return true;
    case DATE_YEAR:
        *ret = c.year;
        return true;
    case DATE_NONE:
        break;
    }
    return false;
}

bool date_part_can_be(enum date_part part, double n)
{
    static const struct {
        int least, most;
    } range[] = {[DATE_MINUTE] = {0, 59}, [DATE_HOUR] = {0, 23},  [DATE_DAY] = {1, 31},
                 [DATE_WEEK] = {1, 53},   [DATE_MONTH] = {1, 12}, [DATE_YEAR] = {0, 9999}};
    for (int i = range[part].least; i <= range[part].most; i++)
        if (!(n < i) && !(n > i))
            return part != DATE_NONE;
    return false;
}
