/* SPDX-License-Identifier: Apache-2.0
 *
 * What a hostile or broken TAXII server could answer: status resources and API roots. An id that was accepted must be
 * safe in a path, and the walk over the lists must end.
 */
#include "collector/taxii_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = {(const char *)data, size};
    struct taxii_status s;
    struct diag d;
    if (taxii_status_parse(body, &s, &d) == 0) {
        if (strpbrk(s.id, "/?#%. \r\n") || !s.id[0] || s.success < 0 || s.failure < 0 || s.pending < 0)
            abort();
        struct taxii_entry e;
        size_t index = 0, entries = 0;
        while (taxii_status_entry(s.doc, &index, &e)) {
            if (!e.id || !e.version || !e.message || ++entries > size)
                abort();
        }
        taxii_status_clear(&s);
    }
    uint64_t max = 1;
    if (taxii_root_parse(body, &max, &d) == 0 && max == 0)
        abort();
    return 0;
}
