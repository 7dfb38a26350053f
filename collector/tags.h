/* SPDX-License-Identifier: Apache-2.0
 *
 * What a rule's tags say about the world: ATT&CK techniques ("attack.t1110.001") and clauses of the law and standards
 * ("tcvn14423.5-8-2-1a"; Sigma allows no second dot in our namespaces, so clauses are written with dashes).
 */
#pragma once

#include "common/base.h"

#define TECHNIQUE_LEN 10 /* "T1110.001" and NUL */
#define CLAUSE_MAX    32

/* "attack.t1110.001" -> "T1110.001". False for any other tag, tactics among them. */
bool tag_technique(struct str tag, char ret[static TECHNIQUE_LEN]);

/* The technique's name in MITRE ATT&CK, or NULL when it is not among those our rules speak of. */
const char *technique_name(const char *id);

/* "tcvn14423.5-6-2-3" -> standard "tcvn14423", clause "5.6.2.3". False for any other tag. */
bool tag_clause(struct str tag, struct str *ret_standard, char ret_clause[static CLAUSE_MAX]);
