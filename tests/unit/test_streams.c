/* SPDX-License-Identifier: Apache-2.0
 * The duplicate check: repeats, overlaps, gaps, growth, limits and what state.db remembers. */
#include "collector/store.h"
#include "collector/streams.h"
#include "tests/unit/test.h"

#include <stdio.h>

static struct batch range(uint8_t agent, uint8_t stream, uint64_t start, uint64_t end)
{
    struct batch b = {.start = start, .end = end, .encoding = BATCH_TEXT};
    b.agent[0] = agent;
    b.stream[0] = stream;
    return b;
}

static void advance(struct streams *s, const struct batch *b, int64_t now_ns)
{
    assert_int_equal(streams_advance(s, b->agent, b->stream, b->end, now_ns), 0);
}

static void judges_by_position(void **state)
{
    (void)state;
    struct streams *s = streams_new(1000);
    assert_non_null(s);
    uint64_t stored = 0;
    struct batch first = range(1, 1, 100, 200);
    assert_int_equal(streams_judge(s, &first, &stored), STREAM_STORE); /* unknown streams may begin anywhere */
    advance(s, &first, 10);

    const struct {
        uint64_t start, end;
        enum stream_verdict verdict;
    } rows[] = {
        {100, 200, STREAM_REPEAT},  {150, 200, STREAM_REPEAT}, {0, 50, STREAM_REPEAT}, {150, 201, STREAM_OVERLAP},
        {100, 300, STREAM_OVERLAP}, {200, 300, STREAM_STORE},  {201, 300, STREAM_GAP},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct batch b = range(1, 1, rows[i].start, rows[i].end);
        stored = 0;
        assert_int_equal(streams_judge(s, &b, &stored), rows[i].verdict);
        assert_int_equal(stored, 200);
    }
    struct batch other_agent = range(2, 1, 0, 50), other_stream = range(1, 2, 0, 50);
    assert_int_equal(streams_judge(s, &other_agent, &stored), STREAM_STORE);
    assert_int_equal(streams_judge(s, &other_stream, &stored), STREAM_STORE);
    streams_free(s);
}

static void an_end_never_moves_back(void **state)
{
    (void)state;
    struct streams *s = streams_new(1000);
    struct batch b = range(1, 1, 0, 500), older = range(1, 1, 0, 100);
    advance(s, &b, 20);
    advance(s, &older, 10);
    uint64_t stored = 0;
    assert_int_equal(streams_judge(s, &b, &stored), STREAM_REPEAT);
    assert_int_equal(stored, 500);
    assert_int_equal(streams_count(s), 1);
    streams_free(s);
}

static struct batch numbered(uint32_t agent, uint32_t stream)
{
    struct batch b = {.start = 0, .end = stream + 1u};
    put_u32(b.agent, agent);
    put_u32(b.stream, stream);
    return b;
}

static void grows_and_finds_all(void **state)
{
    (void)state;
    struct streams *s = streams_new(STREAMS_MAX);
    for (uint32_t i = 0; i < 20000; i++) {
        struct batch b = numbered(i % 700, i);
        assert_int_equal(streams_reserve(s, &b, 1), 0);
        advance(s, &b, 1);
    }
    assert_int_equal(streams_count(s), 20000);
    for (uint32_t i = 0; i < 20000; i++) {
        struct batch b = numbered(i % 700, i);
        uint64_t stored = 0;
        assert_int_equal(streams_judge(s, &b, &stored), STREAM_REPEAT);
        assert_int_equal(stored, i + 1u);
    }
    streams_free(s);
}

static void one_agent_cannot_fill_it(void **state)
{
    (void)state;
    struct streams *s = streams_new(80);
    const int64_t now = STREAMS_KEEP_NS * 3;
    for (uint32_t i = 0; i < 10; i++) {
        struct batch b = numbered(1, i);
        advance(s, &b, now);
    }
    struct batch more = numbered(1, 99), known = numbered(1, 5), other = numbered(2, 0);
    assert_int_equal(streams_reserve(s, &more, now), -EDQUOT);
    assert_int_equal(streams_advance(s, more.agent, more.stream, 1, now), -EDQUOT);
    assert_int_equal(streams_reserve(s, &known, now), 0); /* its known streams go on */
    advance(s, &known, now);
    advance(s, &other, now);
    for (uint32_t i = 0; i < 69; i++) {
        struct batch b = numbered(100 + i / 9, i);
        advance(s, &b, now);
    }
    struct batch last = numbered(3, 0);
    assert_int_equal(streams_reserve(s, &last, now), -ENOSPC);
    assert_int_equal(streams_reserve(s, &last, now + STREAMS_KEEP_NS + 1), 0); /* the old ones are forgotten */
    assert_int_equal(streams_count(s), 0);
    streams_free(s);
}

static void forgets_only_the_old(void **state)
{
    (void)state;
    struct streams *s = streams_new(1000);
    struct batch old = range(1, 1, 0, 10), fresh = range(1, 2, 0, 10);
    advance(s, &old, 100);
    advance(s, &fresh, 200);
    assert_int_equal(streams_forget(s, 150), 1);
    uint64_t stored;
    assert_int_equal(streams_judge(s, &old, &stored), STREAM_STORE);
    assert_int_equal(streams_judge(s, &fresh, &stored), STREAM_REPEAT);
    streams_free(s);
}

static void loads_from_the_database(void **state)
{
    const char *dir = *state;
    char path[512];
    snprintf(path, sizeof(path), "%s/state.db", dir);
    struct diag diag = {0};
    sqlite3 *db = NULL;
    assert_int_equal(store_open(path, STORE_DURABLE, &db, &diag), 0);
    assert_int_equal(store_exec(db,
                                "INSERT INTO streams VALUES (x'01000000000000000000000000000000',"
                                "x'01000000000000000000000000000000', 4096, 7)",
                                &diag),
                     0);
    struct streams *s = streams_new(1000);
    assert_int_equal(streams_load(s, db, &diag), 0);
    struct batch b = range(1, 1, 4000, 5000);
    uint64_t stored = 0;
    assert_int_equal(streams_judge(s, &b, &stored), STREAM_OVERLAP);
    assert_int_equal(stored, 4096);
    streams_free(s);
    store_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_by_position),
        cmocka_unit_test(an_end_never_moves_back),
        cmocka_unit_test(grows_and_finds_all),
        cmocka_unit_test(one_agent_cannot_fill_it),
        cmocka_unit_test(forgets_only_the_old),
        cmocka_unit_test_setup_teardown(loads_from_the_database, tmp_dir_setup, tmp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
