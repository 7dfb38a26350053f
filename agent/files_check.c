/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac-agent check` for followed files: what each pattern matches, and which of it this user may not read.
 */
#include "agent/files.h"

#include "agent/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define NAMED_MAX 20 /* unreadable files told one by one, a source */

struct finding {
    const struct file_source *source;
    input_say_fn say;
    void *ctx;
    size_t matched, unreadable;
};

static int on_file(const char *path, const struct stat *st, void *ctx)
{
    struct finding *f = ctx;
    (void)st;
    if (path_is_excluded(path, &f->source->exclude) || path_is_compressed(path_name(path)))
        return 0;
    f->matched++;
    int fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    } else if (f->unreadable++ < NAMED_MAX) {
        char text[4200];
        snprintf(text, sizeof(text), "files %s: %s: %s", f->source->name, path, strerror(errno));
        f->say(false, text, f->ctx);
    }
    return 0;
}

void files_check(const struct agent_config *cfg, input_say_fn say, void *ctx)
{
    for (size_t i = 0; i < cfg->n_sources; i++) {
        struct finding f = {.source = &cfg->sources[i], .say = say, .ctx = ctx};
        const struct path_walk walk = {.on_file = on_file, .ctx = &f};
        char text[256];
        for (size_t k = 0; k < f.source->paths.n; k++)
            path_expand(f.source->paths.items[k], &walk);
        snprintf(text, sizeof(text), "files %s: %zu match, %zu of them unreadable%s", f.source->name, f.matched,
                 f.unreadable, f.matched ? "" : " (files that appear later are followed)");
        say(f.unreadable == 0, text, ctx);
    }
}
