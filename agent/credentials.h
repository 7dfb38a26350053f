/* SPDX-License-Identifier: Apache-2.0
 *
 * Who this agent is: agent.key (0600), agent.crt and ca.crt in the state folder. Key and certificate are two files that
 * must change together, so new ones are first written whole beside the old ones (*.new) and then renamed; load finishes
 * or undoes what a crash left half done.
 */
#pragma once

#include "common/cert.h"
#include "common/tls.h"

struct credentials {
    char *ca_pem, *cert_pem, *key_pem;
    uint8_t agent[ID_LEN];
    int64_t not_before_ns, not_after_ns;
};

/* 0; -ENOENT: not enrolled; -EINVAL: what is there does not fit together; another errno of reading. diag says it for
 * people. */
int credentials_load(const char *state_dir, struct credentials *ret, struct diag *diag);
void credentials_clear(struct credentials *c); /* wipes the key */

bool credentials_exist(const char *state_dir);

/* Replaces what is there. ca_pem NULL: the authority stays. Checks first that the three fit together. */
int credentials_store(const char *state_dir, const char *ca_pem, const char *cert_pem, const char *key_pem,
                      struct diag *diag);

bool credentials_are_due(const struct credentials *c, int64_t now_ns); /* less than a third of their life is left */
