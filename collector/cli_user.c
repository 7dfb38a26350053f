/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac user add|passwd|list|unlock`: the people of the console. Works on state.db directly, beside a running
 * collector. A password comes from a file, standard input or the terminal, or is made here (--one-time); it is never a
 * word of the command line, which everybody on the machine can read.
 */
#include "collector/cli.h"
#include "collector/sql.h"
#include "collector/to_json.h"
#include "collector/users.h"
#include "common/file.h"
#include "common/time.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <termios.h>

struct options {
    const char *config, *role, *display_name, *password_file;
    bool one_time, json;
};

struct cli_state {
    struct collector_config config;
    sqlite3 *db;
    char by[32];
};

static int open_state(const char *config_path, struct cli_state *s)
{
    struct diag diag = {0};
    *s = (struct cli_state){0};
    if (sodium_init() < 0)
        return cli_fail("the random number generator does not start");
    if (cli_config(config_path, &s->config) < 0)
        return CLI_FAILED;
    snprintf(s->by, sizeof(s->by), "cli:%u", (unsigned)getuid());
    if (store_open(s->config.db_path, STORE_DURABLE, &s->db, &diag) < 0) {
        collector_config_clear(&s->config);
        return cli_fail("%s", diag.msg);
    }
    return CLI_OK;
}

static void close_state(struct cli_state *s)
{
    store_close(s->db);
    collector_config_clear(&s->config);
}

/* --- where a password comes from --- */

static int read_line(FILE *f, char *ret, size_t size)
{
    if (!fgets(ret, (int)size, f))
        return -ENODATA;
    size_t len = strcspn(ret, "\r\n");
    if (!ret[len] && !feof(f))
        return -E2BIG;
    ret[len] = '\0';
    return 0;
}

/* Asks twice, without showing what is typed. */
static int ask(char *ret, size_t size)
{
    char again[PASSWORD_MAX + 2];
    struct termios shown, hidden;
    if (tcgetattr(STDIN_FILENO, &shown) < 0)
        return -errno;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    fputs("New password: ", stderr);
    int r = read_line(stdin, ret, size);
    fputs("\nAgain: ", stderr);
    if (r == 0)
        r = read_line(stdin, again, sizeof(again));
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fputc('\n', stderr);
    if (r == 0 && strcmp(ret, again) != 0) {
        cli_fail("the two are not the same");
        r = -EINVAL;
    }
    sodium_memzero(again, sizeof(again));
    return r;
}

static int read_password(const char *file, char *ret, size_t size)
{
    int r;
    if (!file && isatty(STDIN_FILENO))
        return ask(ret, size);
    FILE *f = !file || strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
    if (!f)
        return -cli_fail("cannot read %s: %s", file, strerror(errno));
    r = read_line(f, ret, size);
    if (f != stdin)
        fclose(f);
    if (r < 0)
        cli_fail(r == -E2BIG ? "the password is too long" : "no password was given");
    return r;
}

/* A new password as its hash. With one_time it is made here, printed at the end, and must be changed. */
static int new_password(const struct options *o, const char *user, char hash[static PASSWORD_HASH_MAX],
                        char one_time[static PASSWORD_ONE_TIME])
{
    char password[PASSWORD_MAX + 2] = "";
    struct diag diag = {0};
    int r = 0;
    one_time[0] = '\0';
    if (o->one_time) {
        password_one_time(one_time);
        memcpy(password, one_time, PASSWORD_ONE_TIME);
    } else {
        r = read_password(o->password_file, password, sizeof(password));
        if (r == 0 && password_check(str_of(password), str_of(user), &diag) < 0)
            r = -cli_fail("%s", diag.msg);
    }
    if (r == 0 && password_hash(str_of(password), hash) < 0)
        r = -cli_fail("out of memory: hashing a password takes 64 MiB");
    sodium_memzero(password, sizeof(password));
    return r;
}

static int check_words(const struct command *self, const struct options *o, int n, char **argv)
{
    if (n != 1)
        return cli_usage(self, "a user name is wanted");
    if (!user_name_is_valid(str_of(argv[0])))
        return cli_usage(self, "a user name has lower-case letters, digits, '.', '_' and '-', at most %d",
                         USER_NAME_MAX);
    if (o->one_time && o->password_file)
        return cli_usage(self, "--one-time and --password-file exclude each other");
    return CLI_OK;
}

/* Begin and commit around one change; the change says what went wrong in diag. */
static int finish(struct cli_state *s, int r, struct diag *diag)
{
    if (r == 0)
        r = store_commit(s->db, diag);
    else
        store_rollback(s->db);
    return r == 0 ? CLI_OK : cli_fail("%s", diag->msg);
}

/* --- the commands --- */

int cli_user_add(const struct command *self, int argc, char **argv)
{
    struct options o = {.role = "analyst"};
    const struct cli_option options[] = {
        {"config", "FILE", "collector.yml (default " COLLECTOR_CONFIG_DEFAULT ")", .text = &o.config},
        {"role", "ROLE", "analyst (default) or admin", .text = &o.role},
        {"display-name", "TEXT", "name as shown to others (default: NAME)", .text = &o.display_name},
        {"one-time", NULL, "make a password, print it, and have it changed at the first sign-in", .flag = &o.one_time},
        {"password-file", "FILE", "read the password from the file's first line; - is standard input",
         .text = &o.password_file},
    };
    struct cli_state s;
    struct diag diag = {0};
    struct user u = {0};
    char one_time[PASSWORD_ONE_TIME];
    int n = 0, r = cli_parse(self, options, ARRAY_LEN(options), 1, argc, argv, &n);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    r = check_words(self, &o, n, argv);
    if (r != CLI_OK)
        return r;
    bool is_admin = strcmp(o.role, "admin") == 0;
    struct str display = str_of(o.display_name ? o.display_name : argv[0]);
    if (!is_admin && strcmp(o.role, "analyst") != 0)
        return cli_usage(self, "--role must be analyst or admin");
    if (display.len == 0 || display.len > USER_DISPLAY_MAX)
        return cli_usage(self, "--display-name must have 1 to %d bytes", USER_DISPLAY_MAX);
    if (new_password(&o, argv[0], u.password, one_time) < 0 || open_state(o.config, &s) != CLI_OK)
        return CLI_FAILED;
    u.is_admin = is_admin;
    u.must_change = o.one_time;
    snprintf(u.name, sizeof(u.name), "%s", argv[0]);
    memcpy(u.display_name, display.p, display.len);
    r = store_begin(s.db, &diag);
    if (r == 0)
        r = user_add(s.db, &u, str_of(s.by), &diag);
    r = finish(&s, r, &diag);
    close_state(&s);
    if (r == CLI_OK && o.one_time)
        printf("%s\n", one_time);
    return r;
}

int cli_user_passwd(const struct command *self, int argc, char **argv)
{
    struct options o = {0};
    const struct cli_option options[] = {
        {"config", "FILE", "collector.yml (default " COLLECTOR_CONFIG_DEFAULT ")", .text = &o.config},
        {"one-time", NULL, "make a password, print it, and have it changed at the next sign-in", .flag = &o.one_time},
        {"password-file", "FILE", "read the password from the file's first line; - is standard input",
         .text = &o.password_file},
    };
    struct cli_state s;
    struct diag diag = {0};
    char hash[PASSWORD_HASH_MAX], one_time[PASSWORD_ONE_TIME];
    int n = 0, r = cli_parse(self, options, ARRAY_LEN(options), 1, argc, argv, &n);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    r = check_words(self, &o, n, argv);
    if (r != CLI_OK)
        return r;
    if (new_password(&o, argv[0], hash, one_time) < 0 || open_state(o.config, &s) != CLI_OK)
        return CLI_FAILED;
    r = store_begin(s.db, &diag);
    if (r == 0)
        r = user_set_password(s.db, str_of(argv[0]), hash, o.one_time, str_of(s.by), &diag);
    r = finish(&s, r, &diag);
    close_state(&s);
    if (r == CLI_OK && o.one_time)
        printf("%s\n", one_time);
    return r;
}

int cli_user_unlock(const struct command *self, int argc, char **argv)
{
    struct options o = {0};
    const struct cli_option options[] = {
        {"config", "FILE", "collector.yml (default " COLLECTOR_CONFIG_DEFAULT ")", .text = &o.config},
    };
    struct cli_state s;
    struct diag diag = {0};
    int n = 0, r = cli_parse(self, options, ARRAY_LEN(options), 1, argc, argv, &n);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    r = check_words(self, &o, n, argv);
    if (r != CLI_OK)
        return r;
    if (open_state(o.config, &s) != CLI_OK)
        return CLI_FAILED;
    r = store_begin(s.db, &diag);
    if (r == 0)
        r = user_unlock(s.db, str_of(argv[0]), str_of(s.by), &diag);
    r = finish(&s, r, &diag);
    close_state(&s);
    return r;
}

static void print_row(sqlite3_stmt *st, bool is_first)
{
    char created[TIME_RFC3339_LEN], until[TIME_RFC3339_LEN];
    bool is_locked = store_col_int(st, 4) > time_now_ns();
    time_format_stix(store_col_int(st, 5), created);
    time_format_stix(store_col_int(st, 4), until);
    if (is_first)
        printf("%-16s %-8s %-24s %s\n", "NAME", "ROLE", "CREATED", "STATE");
    printf("%-16s %-8s %-24s %s%s%s\n", sql_z(st, 0), sql_z(st, 2), created,
           is_locked              ? "locked until "
           : store_col_int(st, 3) ? "must change password"
                                  : "-",
           is_locked ? until : "", store_col_int(st, 6) ? ", signed in" : "");
}

static json_t *json_row(sqlite3_stmt *st)
{
    int64_t until = store_col_int(st, 4);
    return json_pack("{s:o, s:o, s:o, s:b, s:o, s:o, s:I}", "name", to_json_text(store_col_str(st, 0)), "display_name",
                     to_json_text(store_col_str(st, 1)), "role", to_json_text(store_col_str(st, 2)),
                     "must_change_password", store_col_int(st, 3) != 0, "locked_until",
                     to_json_time_or_null(until, until > time_now_ns()), "created", to_json_time(store_col_int(st, 5)),
                     "sessions", (json_int_t)store_col_int(st, 6));
}

int cli_user_list(const struct command *self, int argc, char **argv)
{
    struct options o = {0};
    const struct cli_option options[] = {
        {"config", "FILE", "collector.yml (default " COLLECTOR_CONFIG_DEFAULT ")", .text = &o.config},
        {"json", NULL, "one JSON object a line", .flag = &o.json},
    };
    struct cli_state s;
    struct diag diag = {0};
    sqlite3_stmt *st = NULL;
    int n = 0, r = cli_parse(self, options, ARRAY_LEN(options), 0, argc, argv, &n);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    if (open_state(o.config, &s) != CLI_OK)
        return CLI_FAILED;
    r = sql_prepare(s.db, &st, &diag,
                    "SELECT name, display_name, role, must_change, locked_until_ns, created_ns,"
                    " (SELECT count(*) FROM sessions WHERE user = name) FROM users ORDER BY name",
                    "");
    for (bool is_first = true; r >= 0 && (r = store_row(st, &diag)) > 0; is_first = false) {
        if (!o.json) {
            print_row(st, is_first);
            continue;
        }
        json_t *row = json_row(st);
        json_dumpf(row, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(row);
    }
    sqlite3_finalize(st);
    close_state(&s);
    return r < 0 ? cli_fail("%s", diag.msg) : CLI_OK;
}
