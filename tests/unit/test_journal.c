/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/agent.h"

#include "agent/journal_json.h"

#include <jansson.h>
#include <spawn.h>
#include <sys/wait.h>

#define REMOTE "/lib/systemd/systemd-journal-remote"

extern char **environ;

/* Runs a program with its standard input and output in files. Its exit status. */
static int run(char *const argv[], const char *in, const char *out)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, in, O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r != 0 || waitpid(pid, &status, 0) < 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void field(struct buf *out, const char *name, const void *value, size_t len)
{
    bool binary = memchr(value, '\n', len) || memchr(value, 0, len);
    buf_append_z(out, name);
    if (binary) { /* systemd's export format: name, newline, length, bytes */
        buf_append_z(out, "\n");
        buf_append_u64(out, len);
    } else {
        buf_append_z(out, "=");
    }
    buf_append(out, value, len);
    buf_append_z(out, "\n");
}

static void entry(struct buf *out, uint64_t realtime_us, const char *message)
{
    buf_printf(out, "__REALTIME_TIMESTAMP=%llu\n__MONOTONIC_TIMESTAMP=%llu\n", (unsigned long long)realtime_us,
               (unsigned long long)(realtime_us % 1000000000));
    buf_append_z(out, "_BOOT_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=test\n_COMM=sshd\n");
    field(out, "MESSAGE", message, strlen(message));
}

/* Makes dir/name from export format. */
static void make_journal(struct agent_env *a, const char *name, const struct buf *exported)
{
    char file[512], option[600], in[512];
    path_in(a, "journal", file);
    assert_int_equal(file_mkdirs(file, 0700), 0);
    path_in(a, "export", in);
    path_in(a, name, file);
    snprintf(option, sizeof(option), "--output=%s", file);
    assert_int_equal(file_write_atomic(in, buf_str(exported), 0600), 0);
    char *argv[] = {REMOTE, option, "-", NULL};
    assert_int_equal(run(argv, in, "/dev/null"), 0);
}

static void start(struct agent_env *a, const char *since)
{
    char yaml[1024];
    snprintf(yaml, sizeof(yaml), "state_dir: %s/state\nlinger: 10ms\njournal:\n  directory: %s/journal\n  since: %s\n",
             a->dir, a->dir, since);
    agent_start(a, &in_journal, yaml);
}

static bool is_remote_missing(void)
{
    if (access(REMOTE, X_OK) == 0)
        return false;
    print_message("skipped: " REMOTE " (package systemd-journal-remote) is not installed\n");
    return true;
}

static void wait_for(struct agent_env *a, size_t records)
{
    size_t n = 0;
    int64_t end = time_monotonic_ns() + 20 * NS_PER_S;
    do {
        agent_run(a, 20);
        agent_collect(a);
        n = 0;
        for (size_t i = 0; i < a->n_got; i++)
            n += a->got[i].records;
    } while (n < records && time_monotonic_ns() < end);
    agent_run(a, 50);
    agent_collect(a);
    assert_int_equal(n, records);
    assert_int_equal(a->gaps, 0);
}

static json_t *next_line(struct str *text)
{
    const char *nl = text->len ? memchr(text->p, '\n', text->len) : NULL;
    if (!nl)
        return NULL;
    json_error_t error;
    json_t *v = json_loadb(text->p, (size_t)(nl - text->p), JSON_ALLOW_NUL, &error);
    if (!v)
        fail_msg("not JSON: %s", error.text);
    text->len -= (size_t)(nl + 1 - text->p);
    text->p = nl + 1;
    return v;
}

static void same_as_journalctl(void **state)
{
    struct agent_env *a = *state;
    struct buf e CLEANUP(buf_clear) = BUF_INIT(16 * MIB), other CLEANUP(buf_clear) = BUF_INIT(64 * MIB);
    char dir[512], out[512];
    if (is_remote_missing())
        skip();
    uint64_t now = (uint64_t)(time_now_ns() / NS_PER_US);
    static char large[3000];
    memset(large, 'L', sizeof(large));
    for (uint64_t i = 0; i < 300; i++) {
        entry(&e, now - 1000000 + i,
              i % 3 ? "Failed password for root from 10.0.0.1 port 22 ssh2" : "Xin chào \t\"\\ é");
        if (i % 2)
            field(&e, "MULTI", "one", 3), field(&e, "MULTI", "two\nlines", 9), field(&e, "MULTI", "three", 5);
        if (i % 5 == 0)
            field(&e, "BINARY", "a\0b\xff\x01", 5);
        if (i % 7 == 0)
            field(&e, "CONTROL", "bell\a", 5), field(&e, "C1", "\xc2\x85", 2), field(&e, "EMPTY", "", 0);
        if (i % 11 == 0)
            field(&e, "LARGE", large, sizeof(large));
        buf_append_z(&e, "\n");
    }
    make_journal(a, "journal/system.journal", &e);
    start(a, "24h");
    wait_for(a, 300);
    path_in(a, "journal", dir);
    path_in(a, "json", out);
    char *argv[] = {"journalctl", "-D", dir, "-o", "json", "--no-pager", "-q", NULL};
    assert_int_equal(run(argv, "/dev/null", out), 0);
    assert_int_equal(file_read(out, &other), 0);
    struct str ours = buf_str(&a->got[0].text), theirs = buf_str(&other);
    for (int i = 0; i < 300; i++) {
        json_t *x = next_line(&ours), *y = next_line(&theirs);
        assert_non_null(x);
        assert_non_null(y);
        const char *key;
        json_t *value;
        json_object_foreach(y, key, value)
        {
            if (strncmp(key, "__SEQNUM", 8) == 0)
                continue; /* newer journalctl adds it */
            if (!json_equal(value, json_object_get(x, key)))
                fail_msg("entry %d: %s differs", i, key);
        }
        assert_int_equal(json_object_size(x), json_object_size(y) - (json_object_get(y, "__SEQNUM") ? 2 : 0));
        json_decref(x);
        json_decref(y);
    }
    assert_null(next_line(&ours));
    agent_stop(a);
}

static void export_run(struct agent_env *a, const char *name, uint64_t from_us, int n)
{
    struct buf e CLEANUP(buf_clear) = BUF_INIT(16 * MIB);
    for (int i = 0; i < n; i++) {
        char message[128];
        snprintf(message, sizeof(message), "message %d of %s", i, name);
        entry(&e, from_us + (uint64_t)i * 1000, message);
        buf_append_z(&e, "\n");
    }
    make_journal(a, name, &e);
}

static void goes_on_by_cursor_and_over_vacuumed_entries(void **state)
{
    struct agent_env *a = *state;
    if (is_remote_missing())
        skip();
    uint64_t now = (uint64_t)(time_now_ns() / NS_PER_US);
    int64_t lost = metric_of(M_JOURNAL_CURSOR_LOST);
    export_run(a, "journal/one.journal", now - 9000000, 20);
    start(a, "24h");
    wait_for(a, 20);
    export_run(a, "journal/two.journal", now - 8000000, 10); /* rotation while running */
    wait_for(a, 30);
    agent_kill(a); /* its positions are only in the spool's headers */
    start(a, "24h");
    wait_for(a, 30);
    assert_int_equal(metric_of(M_JOURNAL_CURSOR_LOST), lost);
    agent_stop(a);
    export_run(a, "journal/three.journal", now - 7000000, 10);
    remove_in(a, "journal/one.journal");
    remove_in(a, "journal/two.journal");
    start(a, "24h");
    wait_for(a, 40);
    assert_int_equal(metric_of(M_JOURNAL_CURSOR_LOST), lost + 1);
    assert_int_equal(a->n_got, 1);
    assert_int_equal(a->got[0].end, 40);
    agent_stop(a);
}

static void a_damaged_spool_is_read_again_from_the_journal(void **state)
{
    struct agent_env *a = *state;
    char path[600];
    struct stat st;
    if (is_remote_missing())
        skip();
    uint64_t now = (uint64_t)(time_now_ns() / NS_PER_US);
    start(a, "24h");
    for (int i = 0; i < 3; i++) { /* a batch each */
        char name[64];
        snprintf(name, sizeof(name), "journal/%d.journal", i);
        if (i == 0)
            agent_kill(a);
        export_run(a, name, now - 9000000 + (uint64_t)i * 100000, 10);
        if (i == 0)
            start(a, "24h");
        int64_t end = time_monotonic_ns() + 20 * NS_PER_S;
        while (a->registry->next_seq < (uint64_t)i + 2 && time_monotonic_ns() < end)
            agent_run(a, 20);
        assert_int_equal(a->registry->next_seq, i + 2);
    }
    agent_stop(a);
    snprintf(path, sizeof(path), "%s/state/spool/0000000000000001.spool", a->dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    assert_int_equal(pwrite(fd, "damage", 6, st.st_size / 2), 6);
    close(fd);
    start(a, "24h");
    for (int i = 0; i < 50 && a->n_got < 2; i++) {
        agent_run(a, 20);
        agent_collect(a);
    }
    assert_int_equal(a->n_got, 2); /* the journal, and its second batch as a stream of its own */
    assert_int_equal(a->got[0].records, 20);
    assert_int_equal(a->got[1].records, 10);
    assert_int_equal(a->got[1].end, 20);
    assert_non_null(strstr((char *)a->got[1].text.data, "message 0 of journal/1.journal"));
    a->gaps = 0;
    export_run(a, "journal/9.journal", now - 1000000, 5); /* and it goes on */
    wait_for(a, 35);
    agent_stop(a);
}

static void the_first_start_reads_back_only_so_far(void **state)
{
    struct agent_env *a = *state;
    if (is_remote_missing())
        skip();
    uint64_t now = (uint64_t)(time_now_ns() / NS_PER_US);
    export_run(a, "journal/old.journal", now - UINT64_C(7200) * 1000000, 20);
    export_run(a, "journal/new.journal", now - UINT64_C(60) * 1000000, 5);
    start(a, "1h");
    wait_for(a, 5);
    agent_stop(a);
}

static void a_missing_journal_is_waited_for(void **state)
{
    struct agent_env *a = *state;
    int64_t missing = metric_of(M_JOURNAL_MISSING);
    start(a, "24h");
    agent_run(a, 50);
    assert_int_equal(metric_of(M_JOURNAL_MISSING), missing + 1);
    assert_int_equal(a->registry->n_streams, 0);
    agent_stop(a);
}

static json_t *printed(struct journal_field *fields, size_t n, uint64_t *ret_cut)
{
    struct buf out CLEANUP(buf_clear) = BUF_INIT(MIB);
    struct journal_entry e = {.cursor = "c", .realtime_us = 1, .monotonic_us = 2, .fields = fields, .n = n};
    assert_int_equal(journal_entry_print(&e, BATCH_LINE_MAX, &out, ret_cut), 0);
    assert_true(out.len <= BATCH_LINE_MAX);
    assert_ptr_equal(memchr(out.data, '\n', out.len), out.data + out.len - 1);
    json_t *v = json_loadb((char *)out.data, out.len, 0, NULL);
    assert_non_null(v);
    return v;
}

static void large_entries_are_cut_and_counted(void **state)
{
    (void)state;
    static char text[200000];
    uint64_t cut;
    memset(text, 'm', sizeof(text));
    struct journal_field f[] = {
        {STR("A"), {text, 60000}},
        {STR("B"), {text, 3000}},
        {STR("MESSAGE"), {text, 100000}},
        {STR("C"), {text, 100}},
    };
    json_t *v = printed(f, 4, &cut);
    assert_int_equal(cut, 2);
    assert_true(json_is_null(json_object_get(v, "A")));
    assert_int_equal(json_string_length(json_object_get(v, "B")), 3000);
    assert_int_equal(json_string_length(json_object_get(v, "MESSAGE")), JOURNAL_TEXT_MAX);
    json_decref(v);
    /* one that fits is left alone, though journalctl would leave out its value */
    struct journal_field fits[] = {{STR("A"), {text, 60000}}};
    v = printed(fits, 1, &cut);
    assert_int_equal(cut, 0);
    assert_int_equal(json_string_length(json_object_get(v, "A")), 60000);
    json_decref(v);
    /* more small fields than a line can hold */
    static struct journal_field many[JOURNAL_FIELDS_MAX];
    static char names[JOURNAL_FIELDS_MAX][8];
    for (size_t i = 0; i < JOURNAL_FIELDS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "F%zu", i);
        many[i] = (struct journal_field){str_of(names[i]), {text, 500}};
    }
    many[1000] = (struct journal_field){STR("MESSAGE"), STR("kept")};
    v = printed(many, JOURNAL_FIELDS_MAX, &cut);
    assert_int_equal(json_object_size(v) + cut, JOURNAL_FIELDS_MAX + 3);
    assert_string_equal(json_string_value(json_object_get(v, "MESSAGE")), "kept");
    json_decref(v);
    /* a character is never cut in two */
    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    struct journal_field odd[] = {{STR("MESSAGE"), {text, 70001 - 1}}, {STR("X"), {text, 70000}}};
    v = printed(odd, 2, &cut);
    assert_int_equal(cut, 2);
    assert_true(json_is_string(json_object_get(v, "MESSAGE")));
    json_decref(v);
}

#define T(f) cmocka_unit_test_setup_teardown(f, agent_setup, agent_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(same_as_journalctl),
        T(goes_on_by_cursor_and_over_vacuumed_entries),
        T(a_damaged_spool_is_read_again_from_the_journal),
        T(the_first_start_reads_back_only_so_far),
        T(a_missing_journal_is_waited_for),
        cmocka_unit_test(large_entries_are_cut_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
