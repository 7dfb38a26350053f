/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/registry.h"

#include "common/file.h"
#include "common/time.h"
#include "tests/unit/test.h"

static void file_in(void **state, char ret[static 512])
{
    snprintf(ret, 512, "%s/positions", (char *)*state);
}

static struct registry *open_registry(const char *path, struct diag *diag)
{
    struct registry *r = NULL;
    assert_int_equal(registry_open(path, &r, diag), 0);
    return r;
}

static struct stream *add(struct registry *r, const char *source, const char *path)
{
    struct stream *s;
    assert_int_equal(registry_add(r, STREAM_FILE, source, path, &s), 0);
    return s;
}

static void everything_comes_back(void **state)
{
    char path[512];
    struct diag diag;
    file_in(state, path);
    struct registry *r = open_registry(path, &diag);
    assert_true(r->is_new);
    struct stream *s = add(r, "app", "/var/log/with space %41\nand \xff.log");
    uint8_t id[ID_LEN];
    memcpy(id, s->id, ID_LEN);
    s->ident = (struct identity){.dev = 5, .ino = UINT64_MAX, .fp = {.len = 1024}};
    memset(s->ident.fp.sha256, 0xab, 32);
    s->ident.guards[0] = (struct guard){.pos = 1000, .len = 64, .hash = {1, 2, 3}};
    s->ident.guards[1] = (struct guard){.pos = 10, .len = 10, .hash = {9}};
    s->size = 77;
    s->checked_ns = -5;
    s->is_rotated = s->is_removed = true;
    registry_acked(r, s, 900, STR("s=1;i=2"));
    assert_int_equal(registry_add_source(r, "app"), 0);
    assert_false(s->is_durable);
    r->acked_seq = 41;
    r->next_seq = 50;
    assert_int_equal(registry_save(r, false), 0);
    assert_true(s->is_durable);
    r = registry_free(r);
    r = open_registry(path, &diag);
    assert_false(r->is_new);
    assert_true(r->was_clean); /* the machine has not been restarted */
    assert_int_equal(r->acked_seq, 41);
    assert_int_equal(r->next_seq, 50);
    assert_true(registry_has_source(r, "app"));
    assert_false(registry_has_source(r, "ap"));
    s = registry_find(r, id);
    assert_non_null(s);
    assert_string_equal(s->path, "/var/log/with space %41\nand \xff.log");
    assert_string_equal(s->cursor, "s=1;i=2");
    assert_int_equal(s->acked, 900);
    assert_int_equal(s->spooled, 900);
    assert_int_equal(s->size, 77);
    assert_int_equal(s->checked_ns, -5);
    assert_int_equal(s->ident.ino, UINT64_MAX);
    assert_int_equal(s->ident.guards[0].pos, 1000);
    assert_int_equal(s->ident.guards[1].hash[0], 9);
    assert_int_equal(s->ident.guards[2].pos, 0);
    assert_int_equal(s->ident.fp.sha256[31], 0xab);
    assert_true(s->is_rotated && s->is_removed && s->is_durable && !s->is_finished);
    registry_free(r);
}

static void any_damage_is_noticed_and_the_backup_used(void **state)
{
    char path[512], backup[520];
    struct diag diag;
    struct buf good CLEANUP(buf_clear) = BUF_INIT(MIB);
    file_in(state, path);
    snprintf(backup, sizeof(backup), "%s.bak", path);
    struct registry *r = open_registry(path, &diag);
    add(r, "a", "/a");
    assert_int_equal(registry_save(r, false), 0);
    add(r, "b", "/b");
    assert_int_equal(registry_save(r, true), 0);
    registry_free(r);
    assert_int_equal(file_read(path, &good), 0);
    for (size_t i = 0; i < good.len; i++) {
        good.data[i] ^= 1;
        struct registry *fresh = registry_new("x");
        assert_int_equal(registry_parse(fresh, buf_str(&good), &diag), -EBADMSG);
        registry_free(fresh);
        fresh = registry_new("x");
        assert_int_equal(registry_parse(fresh, (struct str){(char *)good.data, i}, &diag), -EBADMSG);
        registry_free(fresh);
        good.data[i] ^= 1;
    }
    assert_int_equal(file_write_atomic(path, STR("rubbish\n"), 0600), 0);
    r = open_registry(path, &diag);
    assert_true(diag.msg[0] != 0);
    assert_int_equal(r->n_streams, 1);
    registry_free(r);
    assert_int_equal(file_write_atomic(path, STR("rubbish\n"), 0600), 0);
    assert_int_equal(file_write_atomic(backup, STR("more\n"), 0600), 0);
    r = open_registry(path, &diag);
    assert_true(r->is_new);
    registry_free(r);
}

static struct batch batch_of(const struct stream *s, uint64_t start, uint64_t end)
{
    struct batch b = {.start = start, .end = end};
    memcpy(b.stream, s->id, ID_LEN);
    return b;
}

static void a_gap_in_a_damaged_spool_becomes_a_stream(void **state)
{
    (void)state;
    struct registry *r = registry_new("x");
    struct stream *s = add(r, "a", "/a");
    s->acked = s->spooled = 100;
    struct batch b = batch_of(s, 50, 100); /* acknowledged long ago */
    registry_found_spooled(r, &b, true);
    b = batch_of(s, 100, 200);
    registry_found_spooled(r, &b, true);
    assert_int_equal(r->n_streams, 1);
    b = batch_of(s, 250, 300);
    registry_found_spooled(r, &b, true);
    assert_int_equal(s->spooled, 300);
    assert_int_equal(s->acked, 100);
    assert_int_equal(r->n_streams, 2);
    struct stream *hole = TAILQ_NEXT(s, link);
    assert_int_equal(hole->spooled, 200);
    assert_int_equal(hole->until, 250);
    b = batch_of(s, 400, 500); /* files removed after acknowledgement: no hole */
    registry_found_spooled(r, &b, false);
    assert_int_equal(r->n_streams, 2);
    registry_free(r);
}

static void finished_streams_are_forgotten_after_a_while(void **state)
{
    (void)state;
    struct registry *r = registry_new("x");
    struct stream *done = add(r, "a", "/a"), *busy = add(r, "a", "/b"), *unacked = add(r, "a", "/c");
    int64_t now = time_now_ns();
    done->is_finished = unacked->is_finished = true;
    unacked->spooled = 5;
    registry_prune(r, now + REGISTRY_KEEP_NS / 2);
    assert_int_equal(r->n_streams, 3);
    registry_prune(r, now + REGISTRY_KEEP_NS + NS_PER_S);
    assert_int_equal(r->n_streams, 2);
    registry_prune(r, now + 2 * REGISTRY_ABANDON_NS);
    assert_int_equal(r->n_streams, 1);
    (void)busy;
    registry_free(r);
}

static void the_table_has_a_limit(void **state)
{
    (void)state;
    struct registry *r = registry_new("x");
    struct stream *s;
    for (int i = 0; i < REGISTRY_STREAMS_MAX; i++)
        add(r, "a", "/a")->is_finished = i == 7;
    assert_int_equal(registry_add(r, STREAM_FILE, "a", "/b", &s), 0); /* in the place of the finished one */
    assert_int_equal(registry_add(r, STREAM_FILE, "a", "/b", &s), -ENOSPC);
    registry_free(r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(everything_comes_back),
        T(any_damage_is_noticed_and_the_backup_used),
        cmocka_unit_test(a_gap_in_a_damaged_spool_becomes_a_stream),
        cmocka_unit_test(finished_streams_are_forgotten_after_a_while),
        cmocka_unit_test(the_table_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
