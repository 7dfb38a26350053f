/* SPDX-License-Identifier: Apache-2.0
 *
 * Time stamps, sizes and durations of any bytes. What is read must lie within the input, and come back the same when it
 * is written and read again.
 */
#include "common/time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check(int64_t ts_ns, size_t len, size_t size)
{
    char text[TIME_RFC3339_LEN];
    int64_t again = 0;
    bool has_zone = false;
    size_t again_len = 0;
    require(len > 0 && len <= size);
    time_format_rfc3339(ts_ns, text);
    int r = time_parse_rfc3339(str_of(text), &again, &has_zone, &again_len);
    require(r == 0 && again == ts_ns && has_zone && again_len == TIME_RFC3339_LEN - 1);
    time_format_stix(ts_ns, text);
    require(strlen(text) == 24);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = {(const char *)data, size};
    int64_t ts_ns;
    uint64_t bytes;
    bool has_zone;
    size_t len;
    if (time_parse_rfc3339(s, &ts_ns, &has_zone, &len) == 0)
        check(ts_ns, len, size);
    if (time_parse_clf(s, &ts_ns, &len) == 0)
        check(ts_ns, len, size);
    static const int64_t near_ns[] = {INT64_MIN, 0, INT64_C(1709164800) * NS_PER_S, INT64_MAX};
    static const int32_t offsets[] = {0, 7 * 3600, -43200, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < ARRAY_LEN(near_ns); i++) {
        for (size_t k = 0; k < ARRAY_LEN(offsets); k++) {
            if (time_parse_rfc3164(s, near_ns[i], offsets[k], &ts_ns, &len) == 0) {
                check(ts_ns, len, size);
                require(ts_ns / NS_PER_S - 86400 <= near_ns[i] / NS_PER_S);
            }
        }
    }
    (void)parse_size(s, &bytes);
    if (parse_duration(s, &ts_ns) == 0)
        require(ts_ns >= 0);
    return 0;
}
