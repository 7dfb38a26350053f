/* SPDX-License-Identifier: Apache-2.0
 *
 * What an input is: a const descriptor here, an instance behind a void pointer. Inputs run on the agent's one event loop
 * and never block it for long; each bounds what it reads in a turn. The list of all inputs is in run.c.
 */
#pragma once

#include "agent/config.h"
#include "agent/sink.h"

struct event_base;

struct input_env { /* borrowed; outlives the inputs */
    struct event_base *base;
    const struct agent_config *cfg;
    struct registry *registry;
    struct sink *sink;
};

/* One finding of a check for people. */
typedef void (*input_say_fn)(bool ok, const char *text, void *ctx);

struct input {
    const char *name, *doc;
    bool (*is_enabled)(const struct agent_config *cfg);
    int (*open)(const struct input_env *env, void **ret, struct diag *diag);
    void (*resume)(void *self); /* the sink has room again */
    void (*flush)(void *self);  /* before the end: puts what was read or is ready into the sink */
    void (*close)(void *self);
    void (*check)(const struct agent_config *cfg, input_say_fn say, void *ctx); /* could it read, as this user? */
};

extern const struct input in_files, in_journal;

const struct input *const *inputs_all(size_t *ret_n); /* run.c */
