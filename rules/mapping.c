/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of rules/mappings: which events a Sigma log source means, and which ECS field each of its fields is.
 *
 *     - logsource: {product: linux, service: sshd}
 *       when: {event.dataset: [system.auth], process.name: [sshd]}
 *       fields: {src_ip: source.ip}
 *
 * An entry applies to rules whose log source names exactly the same attributes with the same values. Several entries for
 * one log source are alternatives, so that a second product can feed it with fields of its own.
 */
#include "rules/plan.h"

#include <errno.h>

#define MAPPING_LIST_MAX 4096

struct mapping_reader {
    struct ruleset *rs;
    struct diag *diag;
};

static bool is_text(const struct yaml *y)
{
    return y && y->kind == YAML_SCALAR && y->text.len;
}

static int read_logsource(struct mapping_reader *r, const struct yaml *entry, const struct yaml *y, struct mapping *m)
{
    if (!y || y->kind != YAML_MAP || y->n == 0)
        return plan_error(r->diag, y ? y : entry, "a mapping needs a logsource with product, category or service");
    for (size_t i = 0; i < y->n; i++) {
        struct str key = y->keys[i]->text;
        struct str *to = str_eq(key, STR("product"))    ? &m->product
                         : str_eq(key, STR("category")) ? &m->category
                         : str_eq(key, STR("service"))  ? &m->service
                                                        : NULL;
        if (!to || !is_text(y->items[i]))
            return plan_error(r->diag, y->keys[i], "logsource has text under product, category and service only");
        if (arena_str(r->rs->arena, y->items[i]->text, to) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int read_values(struct mapping_reader *r, const struct yaml *y, struct when *w)
{
    size_t n = y->kind == YAML_LIST ? y->n : 1;
    if (n == 0 || n > MAPPING_LIST_MAX || y->kind == YAML_MAP)
        return plan_error(r->diag, y, "'when' lists the values that a field may have");
    w->values = arena_array(r->rs->arena, n, sizeof(*w->values));
    if (!w->values)
        return -ENOMEM;
    for (; w->n < n; w->n++) {
        const struct yaml *v = y->kind == YAML_LIST ? y->items[w->n] : y;
        if (!is_text(v))
            return plan_error(r->diag, v, "'when' lists the values that a field may have");
        if (arena_str(r->rs->arena, v->text, &w->values[w->n]) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int read_when(struct mapping_reader *r, const struct yaml *entry, const struct yaml *y, struct mapping *m)
{
    if (!y || y->kind != YAML_MAP || y->n == 0 || y->n > MAPPING_LIST_MAX)
        return plan_error(r->diag, y ? y : entry, "a mapping needs 'when': the fields that tell its events");
    m->when = arena_array(r->rs->arena, y->n, sizeof(*m->when));
    if (!m->when)
        return -ENOMEM;
    for (; m->n_when < y->n; m->n_when++) {
        struct when *w = &m->when[m->n_when];
        int err = names_intern(r->rs->names, y->keys[m->n_when]->text, &w->field);
        if (err == -ENOMEM)
            return err;
        if (err < 0)
            return plan_error(r->diag, y->keys[m->n_when], "not a usable field name");
        err = read_values(r, y->items[m->n_when], w);
        if (err < 0)
            return err;
    }
    return 0;
}

static int read_fields(struct mapping_reader *r, const struct yaml *y, struct mapping *m)
{
    if (yaml_is_null(y))
        return 0;
    if (y->kind != YAML_MAP || y->n > MAPPING_LIST_MAX)
        return plan_error(r->diag, y, "'fields' is a map of Sigma field to ECS field");
    m->fields = arena_array(r->rs->arena, y->n, sizeof(*m->fields));
    if (!m->fields && y->n)
        return -ENOMEM;
    for (; m->n_fields < y->n; m->n_fields++) {
        struct mapped_field *f = &m->fields[m->n_fields];
        name_id id;
        if (!is_text(y->keys[m->n_fields]) || !is_text(y->items[m->n_fields]))
            return plan_error(r->diag, y->keys[m->n_fields], "'fields' is a map of Sigma field to ECS field");
        if (arena_str(r->rs->arena, y->keys[m->n_fields]->text, &f->from) < 0 ||
            arena_str(r->rs->arena, y->items[m->n_fields]->text, &f->to) < 0)
            return -ENOMEM;
        int err = names_intern(r->rs->names, f->from, &id);
        err = err < 0 ? err : names_intern(r->rs->names, f->to, &id);
        if (err == -ENOMEM)
            return err;
        if (err < 0)
            return plan_error(r->diag, y->keys[m->n_fields], "not a usable field name");
    }
    return 0;
}

static int read_entry(struct mapping_reader *r, const struct yaml *y)
{
    if (!y || y->kind != YAML_MAP)
        return plan_error(r->diag, y, "a mapping is a map of logsource, when and fields");
    for (size_t i = 0; i < y->n; i++) {
        struct str key = y->keys[i]->text;
        if (!str_eq(key, STR("logsource")) && !str_eq(key, STR("when")) && !str_eq(key, STR("fields")))
            return plan_error(r->diag, y->keys[i], "a mapping has logsource, when and fields, not '" STR_FMT "'",
                              (int)MIN(key.len, (size_t)60), key.p);
    }
    struct mapping *m = arena_alloc(r->rs->arena, sizeof(*m));
    if (!m)
        return -ENOMEM;
    int err = read_logsource(r, y, yaml_get(y, "logsource"), m);
    err = err < 0 ? err : read_when(r, y, yaml_get(y, "when"), m);
    err = err < 0 ? err : read_fields(r, yaml_get(y, "fields"), m);
    if (err < 0)
        return err;
    *r->rs->mappings_end = m;
    r->rs->mappings_end = &m->next;
    return 0;
}

int ruleset_add_mapping(struct ruleset *rs, struct str text, const char *file, struct diags *diags)
{
    struct diag diag = {0};
    struct mapping_reader r = {rs, &diag};
    struct yaml **docs;
    size_t n;
    int left_out = 0;
    if (rs->is_compiled)
        return -EINVAL;
    rs->digest += digest_bytes(0, text);
    arena_reset(rs->scratch);
    int err = yaml_parse(text, rs->scratch, &docs, &n, &diag);
    if (err < 0) {
        diags_add(diags, file, false, &diag);
        return err == -ENOMEM ? err : 1;
    }
    for (size_t d = 0; d < n; d++) {
        if (!docs[d])
            continue;
        bool is_list = docs[d]->kind == YAML_LIST;
        for (size_t i = 0; i < (is_list ? docs[d]->n : 1); i++) {
            err = read_entry(&r, is_list ? docs[d]->items[i] : docs[d]);
            if (err == -ENOMEM)
                return err;
            if (err < 0) {
                diags_add(diags, file, false, &diag);
                left_out++;
            }
        }
    }
    return left_out;
}
