/* SPDX-License-Identifier: Apache-2.0
 *
 * What a TAXII 2.1 server answers: the status resource (section 4.3.1), the API root (4.1.1) and the manifest (5.3.1), read
 * with suspicion. Whatever of them is used later (ids in paths, counts in the ledger) is checked here.
 */
#pragma once

#include "common/diag.h"

#include <jansson.h>

#define TAXII_ID_MAX 64

enum taxii_verdict { TAXII_SUCCESS, TAXII_FAILURE, TAXII_PENDING };

struct taxii_status {
    char id[TAXII_ID_MAX + 1]; /* letters, digits and '-' only: safe in a path */
    bool is_complete;
    int64_t total, success, failure, pending;
    json_t *doc; /* owned; as received */
};

/* 0, -EBADMSG with the reason. */
int taxii_status_parse(struct str body, struct taxii_status *ret, struct diag *diag);
void taxii_status_clear(struct taxii_status *s);

/* One entry of the lists successes, failures and pendings. message may be "". */
struct taxii_entry {
    enum taxii_verdict verdict;
    const char *id, *version, *message; /* borrowed from the document */
};

/* Walks all lists of a status resource (also of one read back from the ledger): index counts from 0. False at the end.
 * Entries without a usable id are skipped. */
bool taxii_status_entry(const json_t *doc, size_t *index, struct taxii_entry *ret);

/* max_content_length of an API root resource. 0, -EBADMSG. */
int taxii_root_parse(struct str body, uint64_t *ret_max_content_length, struct diag *diag);

/* Splits "https://host/root/collections/ID/" into root URL "https://host/root/" and collection URL, both with a slash at
 * the end. The strings are owned by the caller. -EINVAL with the reason: another scheme, user information, query or
 * fragment, no collection. */
int taxii_url_split(const char *url, char **ret_root, char **ret_collection, struct diag *diag);
