/* SPDX-License-Identifier: Apache-2.0
 *
 * TAXII 2.1 client (OASIS, sections 3 to 5) over libcurl, for one collection of one peer. HTTPS only, the peer always
 * verified, no redirects, no compression, bounded answers, bounded time. Blocking; one thread.
 */
#pragma once

#include "collector/taxii_status.h"
#include "common/buf.h"

#include <stdatomic.h>

#define TAXII_ANSWER_MAX    (8 * MIB)
#define TAXII_CONTENT_LIMIT (16 * MIB) /* ours, where the peer allows more */

struct taxii_options {
    const char *url;         /* of the collection */
    const char *authority;   /* CA file; NULL: the system's */
    const char *certificate; /* with key: client certificate; NULL: none */
    const char *key;
    const char *user, *password_file; /* HTTP basic; NULL: none */
};

enum taxii_outcome {
    TAXII_ACCEPTED,  /* a status resource came */
    TAXII_PEER_DOWN, /* no connection, 401, 403, 404, 429, 503: nothing else would get through either */
    TAXII_TRY_LATER, /* other 5xx, or an answer that is no TAXII: perhaps only this message */
    TAXII_TOO_LARGE, /* 413 */
    TAXII_REFUSED,   /* 400, 422 and other 4xx: sending the same again is useless */
    TAXII_STOPPED,   /* the program is ending */
};

struct taxii_result {
    enum taxii_outcome outcome;
    long http;                  /* status code; 0: none came */
    struct taxii_status status; /* TAXII_ACCEPTED: the caller clears it */
    int64_t retry_after_s;      /* -1: the peer did not say */
    char error[256];
};

struct taxii;

/* Checks the options; no connection yet. Transfers end soon after *stop becomes true. 0, -EINVAL, -ENOMEM. Options are borrowed
 * and must outlive the client. */
int taxii_open(const struct taxii_options *options, const atomic_bool *stop, struct taxii **ret, struct diag *diag);
struct taxii *taxii_close(struct taxii *t);

/* The peer's limit, asked once and kept. outcome TAXII_ACCEPTED with *ret_bytes, without a status. */
void taxii_content_max(struct taxii *t, uint64_t *ret_bytes, struct taxii_result *ret);

void taxii_push(struct taxii *t, struct str envelope, struct taxii_result *ret);
void taxii_poll(struct taxii *t, const char *status_id, struct taxii_result *ret);

/* Which of these does the collection hold already? Appends {"id","version"} to `held` (array). Collections that may
 * not be read tell nothing: that is no error. -ECANCELED when stopped, -EIO when it cannot be known. */
int taxii_held(struct taxii *t, const char *const *ids, size_t n, json_t *held);
