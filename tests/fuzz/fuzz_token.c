/* SPDX-License-Identifier: Apache-2.0
 *
 * What a person pastes as an enrolment token. A token has one spelling: what parses must format to the same text.
 */
#include "common/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t fingerprint[CERT_FINGERPRINT_LEN], secret[32];
    char text[TOKEN_TEXT_LEN];
    struct str s = {(const char *)data, size};
    if (token_parse(s, fingerprint, secret) < 0)
        return 0;
    token_format(fingerprint, secret, text);
    if (!str_eq(str_trim(s), str_of(text)))
        abort();
    return 0;
}
