/* SPDX-License-Identifier: Apache-2.0
 *
 * See content.h. Files come in the order of their paths, folder by folder as configured, so that every start sees the same
 * set. A file that cannot be read or used is an entry in diags; only a folder that is not there at all stops the load,
 * since then the configuration is wrong rather than a rule.
 */
#include "collector/content.h"

#include "collector/yaml_ahead.h"
#include "common/file.h"

#include <errno.h>

#define DIAGS_MAX      10000
#define DIAGS_LINT_MAX 200000 /* for who asks for all of them */

struct content {
    struct names *names;
    struct ruleset *ruleset;
    struct decoders *decoders;
    struct diags diags;
    size_t n_rejected;
    bool takes_samples;
};

typedef int (*add_fn)(struct content *c, struct str text, const char *path);

static int add_mapping(struct content *c, struct str text, const char *path)
{
    return ruleset_add_mapping(c->ruleset, text, path, &c->diags);
}

static int add_decoder(struct content *c, struct str text, const char *path)
{
    return decoders_add(c->decoders, text, path, &c->diags);
}

struct walk {
    struct content *content;
    const char *root; /* as configured */
    add_fn add;
};

static bool is_yaml(const char *path)
{
    return str_ends(str_of(path), STR(".yml")) || str_ends(str_of(path), STR(".yaml"));
}

static void cannot_read(struct content *c, const char *path, int err)
{
    struct diag d;
    diag_set(&d, err, "cannot be read: %s", strerror(-err));
    diags_add(&c->diags, path, false, &d);
}

static int load_file(const char *path, void *ctx)
{
    struct walk *w = ctx;
    if (strcmp(path, w->root) != 0 && !is_yaml(path))
        return 0;
    CLEANUP(buf_clear) struct buf text = BUF_INIT(YAML_BYTES_MAX);
    int err = file_read(path, &text);
    if (err == -ENOMEM)
        return err;
    if (err < 0) {
        cannot_read(w->content, path, err);
        return 0;
    }
    err = w->add(w->content, buf_str(&text), path);
    return err < 0 ? err : 0;
}

static int load_paths(struct content *c, const struct strlist *paths, add_fn add, struct diag *diag)
{
    for (size_t i = 0; i < paths->n; i++) {
        struct walk w = {c, paths->items[i], add};
        int err = file_walk(paths->items[i], "", load_file, &w);
        if (err < 0)
            return diag_set(diag, err, "%s: %s", paths->items[i], strerror(-err));
    }
    return 0;
}

/* ---- placeholders ---- */

static int add_placeholder(struct content *c, const char *name, const struct yaml *values)
{
    size_t n = values->kind == YAML_LIST ? values->n : 1;
    for (size_t i = 0; i < n; i++) {
        const struct yaml *v = values->kind == YAML_LIST ? values->items[i] : values;
        if (v->kind != YAML_SCALAR) {
            struct diag d;
            diag_at(&d, 0, v->line, v->col, "placeholder '%.100s' must be a list of texts", name);
            diags_add(&c->diags, "placeholders", false, &d);
            continue;
        }
        int err = yaml_is_null(v) ? 0 : ruleset_placeholder(c->ruleset, name, v->text);
        if (err == -ENOMEM)
            return err;
    }
    return 0;
}

static int add_placeholders(struct content *c, const struct yaml *map)
{
    if (!map || map->kind != YAML_MAP)
        return 0;
    for (size_t i = 0; i < map->n; i++) {
        int err = add_placeholder(c, map->keys[i]->text.p, map->items[i]);
        if (err < 0)
            return err;
    }
    return 0;
}

/* `test_placeholders: {admin_networks: [10.0.9.0/24]}` of a document; the first that has a name gives its values. */
static int add_samples(struct content *c, const struct yaml *doc)
{
    const struct yaml *samples = yaml_get(doc, "test_placeholders");
    for (size_t i = 0; samples && samples->kind == YAML_MAP && i < samples->n; i++) {
        const char *name = samples->keys[i]->text.p;
        int err = ruleset_has_placeholder(c->ruleset, name) ? 0 : add_placeholder(c, name, samples->items[i]);
        if (err < 0)
            return err;
    }
    return 0;
}

/* ---- rules: many files, so they are read ahead ---- */

struct listing {
    const char *root;
    char **paths;
    size_t n, cap;
};

static int list_file(const char *path, void *ctx)
{
    struct listing *l = ctx;
    if (strcmp(path, l->root) != 0 && !is_yaml(path))
        return 0;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        char **grown = reallocarray(l->paths, cap, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        l->paths = grown;
        l->cap = cap;
    }
    l->paths[l->n] = strdup(path);
    return l->paths[l->n] ? (l->n++, 0) : -ENOMEM;
}

static void listing_clear(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->paths[i]);
    free(l->paths);
}

static int add_documents(struct content *c, struct yaml_file *f)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < f->n && c->takes_samples; i++)
        err = add_samples(c, f->docs[i]);
    return err < 0 ? err : ruleset_add_documents(c->ruleset, f->docs, f->n, &f->arena, f->path, &c->diags);
}

/* Some of its documents may be well, and the others' errors are to be told: ruleset_add sees to both. */
static int add_broken(struct content *c, const char *path)
{
    CLEANUP(buf_clear) struct buf text = BUF_INIT(YAML_BYTES_MAX);
    int err = file_read(path, &text);
    if (err == 0)
        return ruleset_add(c->ruleset, buf_str(&text), path, &c->diags);
    cannot_read(c, path, err);
    return 1;
}

static int add_rules(struct content *c, struct yaml_file *f)
{
    int r = 1; /* left out */
    if (f->read_err == -ENOMEM || f->err == -ENOMEM)
        return -ENOMEM;
    if (f->read_err < 0)
        cannot_read(c, f->path, f->read_err);
    else if (f->err < 0)
        r = add_broken(c, f->path);
    else
        r = add_documents(c, f);
    c->n_rejected += r > 0 ? (size_t)r : 0;
    return r < 0 ? r : 0;
}

static int load_rules(struct content *c, const struct strlist *paths, struct diag *diag)
{
    CLEANUP(listing_clear) struct listing files = {0};
    for (size_t i = 0; i < paths->n; i++) {
        files.root = paths->items[i];
        int err = file_walk(paths->items[i], "", list_file, &files);
        if (err < 0)
            return diag_set(diag, err, "%s: %s", paths->items[i], strerror(-err));
    }
    struct yaml_ahead *ahead = yaml_ahead_new(files.paths, files.n);
    int err = ahead ? 0 : -ENOMEM;
    for (struct yaml_file *f; err == 0 && (f = yaml_ahead_next(ahead));)
        err = add_rules(c, f);
    yaml_ahead_free(ahead);
    return err;
}

/* Names of fields that decoders give, so that a rule's field can be told from a misspelt one. Decoders with errors are not
 * our business here. */
static int know_fields(struct content *c, const struct collector_config *config)
{
    struct content scratch = {.names = c->names, .decoders = decoders_new(c->names)};
    struct diag unused;
    if (!scratch.decoders)
        return -ENOMEM;
    int err = load_paths(&scratch, &config->decoders, add_decoder, &unused);
    decoders_free(scratch.decoders);
    diags_clear(&scratch.diags);
    return err == -ENOMEM ? err : ruleset_lint(c->ruleset);
}

static int load(struct content *c, const struct collector_config *config, const struct content_options *options,
                struct diag *diag)
{
    c->takes_samples = options->takes_samples;
    int err = options->is_linting ? know_fields(c, config) : 0;
    if (options->is_without_mapping)
        err = err < 0 ? err : ruleset_without_mapping(c->ruleset);
    err = err < 0 ? err : add_placeholders(c, config->placeholders);
    if (!options->is_without_mapping)
        err = err < 0 ? err : load_paths(c, &config->mappings, add_mapping, diag);
    err = err < 0 ? err : load_rules(c, &config->rules, diag);
    if (!options->is_without_decoders)
        err = err < 0 ? err : load_paths(c, &config->decoders, add_decoder, diag);
    if (err < 0)
        return err;
    err = ruleset_compile(c->ruleset, &c->diags);
    c->n_rejected += err > 0 ? (size_t)err : 0;
    err = err < 0 ? err : decoders_compile(c->decoders, &c->diags);
    return err < 0 ? err : 0;
}

int content_load(const struct collector_config *config, struct content **ret, struct diag *diag)
{
    return content_load_with(config, &(struct content_options){0}, ret, diag);
}

int content_load_with(const struct collector_config *config, const struct content_options *options,
                      struct content **ret, struct diag *diag)
{
    *ret = NULL;
    struct content *c = calloc(1, sizeof(*c));
    if (!c)
        return diag_set(diag, -ENOMEM, "out of memory");
    diags_init(&c->diags, options->is_linting ? DIAGS_LINT_MAX : DIAGS_MAX);
    c->names = names_new();
    c->ruleset = c->names ? ruleset_new(c->names) : NULL;
    c->decoders = c->names ? decoders_new(c->names) : NULL;
    int err = c->ruleset && c->decoders ? load(c, config, options, diag) : -ENOMEM;
    if (err == -ENOMEM)
        diag_set(diag, err, "out of memory");
    if (err < 0) {
        content_free(c);
        return err;
    }
    *ret = c;
    return 0;
}

struct content *content_free(struct content *c)
{
    if (!c)
        return NULL;
    ruleset_free(c->ruleset);
    decoders_free(c->decoders);
    names_free(c->names);
    diags_clear(&c->diags);
    free(c);
    return NULL;
}

const struct names *content_names(const struct content *c)
{
    return c->names;
}

const struct ruleset *content_ruleset(const struct content *c)
{
    return c->ruleset;
}

const struct decoders *content_decoders(const struct content *c)
{
    return c->decoders;
}

const struct diags *content_diags(const struct content *c)
{
    return &c->diags;
}

size_t content_rejected(const struct content *c)
{
    return c->n_rejected;
}
