/* SPDX-License-Identifier: Apache-2.0
 *
 * Search over stored events. The first line of the input is what is searched for, the rest the event's JSON.
 */
#include "collector/event_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct event_text *t; /* kept: its buffers are large */
    if (!t && !(t = event_text_new()))
        return 0;
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    size_t len = newline ? (size_t)(newline - data) : size;
    struct str needle = {(const char *)data, len};
    struct str json = {(const char *)data + len, size - len};
    char *folded = event_text_fold(needle);
    if (!folded)
        return 0;
    bool found = event_text_any_value(t, json, str_of(folded));
    event_text_field(t, json, STR("user.name"), str_of(folded), true);
    /* What one field has as a part, the event has. */
    size_t plen = strlen(folded) + 3;
    char *pattern = malloc(plen);
    if (pattern && !strchr(folded, '*') && folded[0]) {
        pattern[0] = '*';
        memcpy(pattern + 1, folded, strlen(folded));
        memcpy(pattern + 1 + strlen(folded), "*", 2);
        if (event_text_field(t, json, STR("message"), str_of(pattern), true) && !found)
            abort();
    }
    free(pattern);
    free(folded);
    return 0;
}
