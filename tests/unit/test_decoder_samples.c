/* SPDX-License-Identifier: Apache-2.0
 *
 * Every sample of every decoder: the decoder it stands in must win and give the fields it promises. And every pattern
 * must have a sample that it wins, so that none is written down untried.
 */
#include "common/time.h"
#include "rules/decoder_impl.h"
#include "tests/unit/decoders_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct decoders_fixture fx;

static bool values_equal(const struct event *ev, name_id key, const struct yaml *want)
{
    const struct field *f = event_get(ev, key);
    size_t n = want->kind == YAML_LIST ? want->n : 1;
    for (size_t i = 0; i < n; i++) {
        const struct yaml *item = want->kind == YAML_LIST ? want->items[i] : want;
        char scratch[32];
        if (!f || !str_eq(field_text(f, scratch), item->text))
            return false;
        f = event_get_next(ev, f);
    }
    return f == NULL;
}

static bool field_holds(const struct event *ev, struct str name, const struct yaml *want)
{
    char ts[TIME_RFC3339_LEN];
    if (str_eq(name, STR("@timestamp"))) {
        time_format_rfc3339(ev->ts_ns, ts);
        return str_eq(str_of(ts), want->text);
    }
    name_id key = names_find(fx.names, name);
    if (key == F_VONGGAC_TIME_GUESSED)
        return ev->ts_is_guessed == !yaml_is_null(want);
    return yaml_is_null(want) ? event_get(ev, key) == NULL : values_equal(ev, key, want);
}

static int check_sample(const struct decoder_sample *s)
{
    struct decode_input in = decoders_fixture_input(s->raw);
    struct event ev;
    int bad = 0;
    in.type = str_of(s->type);
    in.path = str_of(s->path);
    in.encoding = s->encoding;
    arena_reset(fx.arena);
    int r = decode_line(fx.ctx, &in, fx.arena, &ev);
    const char *winner = decode_winner(fx.ctx);
    if (r != 1 || !winner || strcmp(winner, s->decoder) != 0) {
        fprintf(stderr, "%s:%d: decoded by %s, not by %s\n", s->file, s->line, winner ? winner : "nobody", s->decoder);
        bad++;
    }
    for (size_t i = 0; i < s->expect->n; i++) {
        if (field_holds(&ev, s->expect->keys[i]->text, s->expect->items[i]))
            continue;
        fprintf(stderr, "%s:%d: %s is not as expected\n", s->file, s->line, s->expect->keys[i]->text.p);
        bad++;
    }
    if (bad) {
        struct buf json = BUF_INIT(MIB);
        struct decode_why why;
        event_to_json(&ev, fx.names, &json);
        fprintf(stderr, "    " STR_FMT "\n", STR_ARG(buf_str(&json)));
        if (decode_explain(fx.ctx, &why))
            fprintf(stderr, "    by %s:%d: %s\n", why.file, why.line, why.pattern);
        buf_clear(&json);
    }
    return bad;
}

static void samples_give_what_they_promise(void **state)
{
    (void)state;
    int bad = 0;
    assert_true(decoders_sample_count(fx.ds) > 100);
    for (size_t i = 0; i < decoders_sample_count(fx.ds); i++)
        bad += check_sample(decoders_sample(fx.ds, i));
    assert_int_equal(bad, 0);
}

static bool has_winning_sample(const struct decoder *d, const struct pattern *p)
{
    for (size_t i = 0; i < decoders_sample_count(fx.ds); i++) {
        const struct decoder_sample *s = decoders_sample(fx.ds, i);
        struct decode_input in = decoders_fixture_input(s->raw);
        struct event ev;
        in.type = str_of(s->type);
        in.path = str_of(s->path);
        in.encoding = s->encoding;
        arena_reset(fx.arena);
        if (strcmp(s->decoder, d->name) == 0 && decode_line(fx.ctx, &in, fx.arena, &ev) == 1 &&
            fx.ctx->winner_pattern == p)
            return true;
    }
    return false;
}

static void every_pattern_has_a_sample(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < fx.ds->n; i++) {
        const struct decoder *d = fx.ds->v[i];
        for (size_t k = 0; k < d->n_patterns; k++) {
            if (has_winning_sample(d, &d->patterns[k]))
                continue;
            fprintf(stderr, "%s:%d: no sample wins by: %s\n", d->file, d->patterns[k].line, d->patterns[k].text);
            bad++;
        }
    }
    assert_int_equal(bad, 0);
}

static void every_event_says_what_it_is(void **state)
{
    (void)state;
    int bad = 0;
    const name_id keys[] = {F_EVENT_KIND, F_EVENT_DATASET, F_EVENT_CATEGORY, F_EVENT_TYPE};
    for (size_t i = 0; i < fx.ds->n; i++) {
        const struct decoder *d = fx.ds->v[i];
        for (size_t k = 0; k < d->n_patterns; k++) {
            const struct event ev = {.fields = d->patterns[k].consts, .n = (uint16_t)d->patterns[k].n_consts};
            for (size_t j = 0; j < ARRAY_LEN(keys); j++) {
                if (event_get(&ev, keys[j]))
                    continue;
                fprintf(stderr, "%s:%d: no %s\n", d->file, d->patterns[k].line, names_text(fx.names, keys[j]).p);
                bad++;
            }
        }
    }
    assert_int_equal(bad, 0);
}

static int setup(void **state)
{
    (void)state;
    return decoders_fixture_load(&fx);
}

static int teardown(void **state)
{
    (void)state;
    decoders_fixture_clear(&fx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_give_what_they_promise),
        cmocka_unit_test(every_pattern_has_a_sample),
        cmocka_unit_test(every_event_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
