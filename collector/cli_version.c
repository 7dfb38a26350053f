/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac version`: what a report of a fault should say first.
 */
#include "collector/cli.h"

#include <stdio.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <curl/curl.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <pcre2.h>

#include <sqlite3.h>
#include <zstd.h>

int cli_version(const struct command *self, int argc, char **argv)
{
    bool json = false;
    const struct cli_option options[] = {{"json", NULL, "print one JSON object", .flag = &json}};
    int r = cli_parse(self, options, ARRAY_LEN(options), 0, argc, argv, &(int){0});
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;

    char pcre2_version[64] = "";
    pcre2_config(PCRE2_CONFIG_VERSION, pcre2_version);
    const char *const rows[][2] = {
        {"vonggac", VONGGAC_VERSION},      {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)},
        {"zstd", ZSTD_versionString()},    {"sqlite", sqlite3_libversion()},
        {"libevent", event_get_version()}, {"curl", curl_version_info(CURLVERSION_NOW)->version},
        {"pcre2", pcre2_version},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (json)
            printf("%s\"%s\":\"%s\"", i ? "," : "{", rows[i][0], rows[i][1]);
        else
            printf("%-10s %s\n", rows[i][0], rows[i][1]);
    }
    if (json)
        puts("}");
    return CLI_OK;
}
