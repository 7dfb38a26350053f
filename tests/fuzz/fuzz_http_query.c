/* SPDX-License-Identifier: Apache-2.0
 *
 * The query string, cookie, list and Retry-After parsers: whatever comes out must be valid UTF-8 of the right length.
 */
#include "collector/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    struct http_query q;
    struct diag d;
    if (http_query_parse(text, &q, &d) == 0) {
        for (size_t i = 0; i < q.n; i++) {
            struct http_param p = q.params[i];
            if (p.name.len == 0 || strlen(p.name.p) != p.name.len || strlen(p.value.p) != p.value.len ||
                !utf8_is_valid(p.value) || !http_query_get(&q, p.name.p))
                abort();
        }
        http_query_clear(&q);
    }
    struct str cookie = http_cookie(text, "__Host-vonggac");
    if (cookie.len > size)
        abort();
    struct str rest = {text, size}, item;
    size_t total = 0;
    while (http_list_next(&rest, &item))
        total += item.len + 1;
    if (total != size + 1)
        abort();
    int64_t s = 0;
    if (http_retry_after((struct str){text, size}, INT64_C(1800000000) * NS_PER_S, 900, &s) == 0 && (s < 0 || s > 900))
        abort();
    free(text);
    return 0;
}
