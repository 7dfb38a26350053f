/* SPDX-License-Identifier: Apache-2.0
 * See to_json.h. */
#include "collector/to_json.h"

#include "collector/http.h"
#include "common/time.h"

json_t *to_json_text(struct str s)
{
    if (s.len == 0)
        return json_string("");
    if (utf8_is_valid(s))
        return json_stringn_nocheck(s.p, s.len);
    char *copy = malloc(s.len * 3); /* U+FFFD takes three bytes */
    if (!copy)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < s.len;) {
        size_t len = 4;
        while (len > 0 && (len > s.len - i || !utf8_is_valid((struct str){s.p + i, len})))
            len--;
        if (len == 0) {
            memcpy(copy + n, "\xef\xbf\xbd", 3);
            n += 3;
            i++;
        } else {
            memcpy(copy + n, s.p + i, len);
            n += len;
            i += len;
        }
    }
    json_t *text = json_stringn_nocheck(copy, n);
    free(copy);
    return text;
}

json_t *to_json_text_or_null(struct str s)
{
    return s.p ? to_json_text(s) : json_null();
}

json_t *to_json_time(int64_t ts_ns)
{
    char z[TIME_RFC3339_LEN];
    time_format_rfc3339(ts_ns, z);
    return json_string_nocheck(z);
}

json_t *to_json_time_or_null(int64_t ts_ns, bool has)
{
    return has ? to_json_time(ts_ns) : json_null();
}

json_t *from_json(struct str s)
{
    return json_loadb(s.p ? s.p : "", s.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}
