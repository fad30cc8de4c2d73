/* SPDX-License-Identifier: MIT */
/* A program that uses sqlite: prepared statements, functions and an order of its own, errors. It knows of no sandbox.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scale {
	double factor;
	int calls;
};

static void
scale(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	struct scale *s = sqlite3_user_data(context);

	s->calls++;
	if (argc != 1 || sqlite3_value_type(argv[0]) == SQLITE_NULL)
		sqlite3_result_error(context, "scale of nothing", -1);
	else
		sqlite3_result_double(context, sqlite3_value_double(argv[0]) * s->factor);
}

static void
backwards(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	char text[64] = "";
	const char *from = (const char *) sqlite3_value_text(argv[0]);
	size_t n = from ? strlen(from) : 0;

	(void) argc;
	for (size_t i = 0; i < n && i < sizeof text - 1; i++)
		text[i] = from[n - 1 - i];
	sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

/* An aggregate: its sum is the program's. */
static void
add(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	long *sum = sqlite3_user_data(context);

	for (int i = 0; i < argc; i++)
		*sum += sqlite3_value_int(argv[i]);
}

static void
added(sqlite3_context *context)
{
	long *sum = sqlite3_user_data(context);

	sqlite3_result_int64(context, *sum);
	*sum = 0;
}

static int
by_length(void *user, int a_size, const void *a, int b_size, const void *b)
{
	++*(int *) user;
	return a_size != b_size ? a_size - b_size : memcmp(a, b, (size_t) a_size);
}

static int
row(void *user, int count, char **values, char **names)
{
	printf("%d:", ++*(int *) user);
	for (int i = 0; i < count; i++)
		printf(" %s=%s", names[i], values[i] ? values[i] : "NULL");
	printf("\n");
	return 0;
}

static int
stop(void *user, int count, char **values, char **names)
{
	(void) count;
	(void) values;
	(void) names;
	return ++*(int *) user == 3;
}

static void
check(sqlite3 *db, int code, const char *what)
{
	if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW)
		printf("%s: %d: %s\n", what, code, sqlite3_errmsg(db));
}

static void
fill(sqlite3 *db)
{
	sqlite3_stmt *insert;

	check(db,
	    sqlite3_exec(
		db, "create table t(id integer primary key, name text, size real, bytes blob)", NULL, NULL, NULL),
	    "create");
	check(db, sqlite3_prepare_v2(db, "insert into t(name, size, bytes) values(?, :size, ?)", -1, &insert, NULL),
	    "prepare");
	printf("%d parameters, :size is %d\n", sqlite3_bind_parameter_count(insert),
	    sqlite3_bind_parameter_index(insert, ":size"));
	check(db, sqlite3_exec(db, "begin", NULL, NULL, NULL), "begin");
	for (int i = 0; i < 500; i++) {
		char name[32];

		snprintf(name, sizeof name, "name %d%.*s", i, i % 7, "xxxxxxx");
		sqlite3_bind_text(insert, 1, name, i % 2 ? -1 : (int) strlen(name), SQLITE_TRANSIENT);
		if (i % 50 == 49)
			sqlite3_bind_null(insert, 2);
		else
			sqlite3_bind_double(insert, 2, i / 4.0);
		sqlite3_bind_blob(insert, 3, &i, sizeof i, SQLITE_STATIC);
		check(db, sqlite3_step(insert), "insert");
		check(db, sqlite3_reset(insert), "reset");
	}
	check(db, sqlite3_exec(db, "commit", NULL, NULL, NULL), "commit");
	printf("last row %lld\n", (long long) sqlite3_last_insert_rowid(db));
	sqlite3_finalize(insert);
}

static void
query(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *select = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &select, NULL);

	printf("%s\n", sql);
	check(db, code, "prepare");
	while (code == SQLITE_OK && (code = sqlite3_step(select)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(select); i++) {
			const unsigned char *text = sqlite3_column_text(select, i);

			printf(" %s=%s", sqlite3_column_name(select, i), text ? (const char *) text : "NULL");
		}
		printf("\n");
		code = SQLITE_OK;
	}
	check(db, code, "step");
	sqlite3_finalize(select);
}

int
main(void)
{
	sqlite3 *db = NULL;
	struct scale twice = {2, 0}, half = {0.5, 0};
	int rows = 0, compared = 0, some = 0;
	long sum = 0;

	check(db, sqlite3_open(":memory:", &db), "open");
	fill(db);
	check(db, sqlite3_create_function(db, "twice", 1, SQLITE_UTF8, &twice, scale, NULL, NULL), "twice");
	check(db, sqlite3_create_function(db, "half", 1, SQLITE_UTF8, &half, scale, NULL, NULL), "half");
	check(db, sqlite3_create_function(db, "backwards", 1, SQLITE_UTF8, NULL, backwards, NULL, NULL), "backwards");
	check(db, sqlite3_create_function(db, "added", 1, SQLITE_UTF8, &sum, NULL, add, added), "added");
	check(db, sqlite3_create_collation(db, "length", SQLITE_UTF8, &compared, by_length), "length");
	query(db, "select id, twice(size), half(size), backwards(name) from t where id % 31 = 0");
	query(db, "select name from t order by name collate length desc limit 7");
	query(db, "select added(id), count(*), twice(half(max(size))) from t");
	query(db, "select twice(size) from t where id = 50");
	query(db, "select nonsense from t");
	query(db, "selec");
	check(db, sqlite3_exec(db, "select id, name, size from t where id % 50 < 2", row, &rows, NULL), "exec");
	check(db, sqlite3_exec(db, "select id from t", stop, &some, NULL), "exec that stops");
	printf("%d %d %d %d\n", twice.calls, half.calls, rows, compared > 0);
	query(db, "delete from t where id > 10");
	printf("%d changes\n", sqlite3_changes(db));
	check(db, sqlite3_open("/nowhere/none.db", &db), "a file");
	printf("%d\n", sqlite3_close(db));
	return 0;
}
