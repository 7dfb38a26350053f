/* SPDX-License-Identifier: Apache-2.0
 *
 * `--placeholders FILE`: values for the %names% in rules, for every command that loads rules. The file is one YAML map:
 *
 *     admin_networks: [10.0.9.0/24, 10.0.10.0/24]
 *     domain_controller_hostnames: dc1
 */
#pragma once

#include "common/yaml.h"

/* Reads `path`; what is wrong with it is printed with file, line and column. The map lives in `arena`. 0 or negative errno. */
int cli_placeholders(const char *path, struct arena *arena, const struct yaml **ret);

/* A map with the names of both; where both have a name, `first` gives its values. Either may be NULL. Lives in `arena` and
 * borrows from both. 0 or -ENOMEM. */
int cli_placeholders_join(const struct yaml *first, const struct yaml *second, struct arena *arena,
                          const struct yaml **ret);
