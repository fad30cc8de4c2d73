/* SPDX-License-Identifier: MIT */
/* Files: what a mapping shows, and that nothing outside it can be reached. */
#include "linux_test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/sysmacros.h>

#include "path.h"

static const char *const one_map[] = {"/data=box", NULL};
static const char *const root_map[] = {"/=box", NULL};
static const char *const readonly_map[] = {"/data=box:ro", "/rw=other", NULL};
static const char *const nested_maps[] = {"/data=box", "/data/deep/other=other", "/database=other", NULL};

static int64_t
open_path(struct Fixture *f, const char *path, int flags)
{
	return CALL(f, sys_open, str(f, path), (uint64_t) flags, 0644);
}

/* The first bytes of what the path leads to. */
static void
assert_content(struct Fixture *f, const char *path, const char *expected)
{
	int64_t fd = open_path(f, path, O_RDONLY);
	char text[32] = {0};
	lfiptr buffer = put(f, NULL, sizeof text);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror((int) -fd));
	assert_int_equal(CALL(f, sys_read, (uint64_t) fd, buffer, strlen(expected)), strlen(expected));
	get(f, text, buffer, strlen(expected));
	assert_string_equal(text, expected);
	assert_int_equal(CALL(f, sys_close, (uint64_t) fd), 0);
}

static void
paths_are_normalised(void **state)
{
	static const struct {
		const char *cwd, *path, *expected;
	} rows[] = {
	    {"/", "/", "/"},
	    {"/", "a", "/a"},
	    {"/x", "a//b/./c/", "/x/a/b/c"},
	    {"/x", "/a/../b", "/b"},
	    {"/x/y", "..", "/x"},
	    {"/x/y", "../../../..", "/"},
	    {"/x", "../../etc", "/etc"},
	    {"/", "/../..//.", "/"},
	    {"/x", "...", "/x/..."},
	    {"/x", ".hidden/..more", "/x/.hidden/..more"},
	};
	char out[PATH_MAX], name[NAME_MAX + 2];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_int_equal(path_normalise(rows[i].cwd, rows[i].path, out), 0);
		assert_string_equal(out, rows[i].expected);
	}
	assert_int_equal(path_normalise("/", "", out), -ENOENT);
	memset(name, 'n', sizeof name);
	name[NAME_MAX + 1] = 0;
	assert_int_equal(path_normalise("/", name, out), -ENAMETOOLONG);
	name[NAME_MAX] = 0;
	assert_int_equal(path_normalise("/", name, out), 0);
}

static void
a_normalised_path_never_outgrows_its_buffer(void **state)
{
	char cwd[PATH_MAX], path[PATH_MAX], out[PATH_MAX];

	for (size_t length = 1; length < PATH_MAX; length += 61) {
		for (size_t i = 0; i < length; i++)
			cwd[i] = i % 200 ? 'c' : '/';
		if (cwd[length - 1] == '/')
			cwd[length - 1] = 'c';
		cwd[0] = '/';
		cwd[length] = 0;
		memcpy(path, cwd + 1, length);
		if (length > 1 && path_normalise(cwd, path, out) == 0)
			assert_true(strlen(out) < PATH_MAX);
	}
}

static void
without_mappings_there_are_no_files(struct Fixture *f)
{
	assert_int_equal(open_path(f, "/", O_RDONLY), -ENOENT);
	assert_int_equal(open_path(f, "/etc/passwd", O_RDONLY), -ENOENT);
	assert_int_equal(open_path(f, ".", O_RDONLY | O_DIRECTORY), -ENOENT);
	assert_int_equal(CALL(f, sys_mkdir, str(f, "/tmp/x"), 0755), -ENOENT);
	assert_int_equal(CALL(f, sys_chdir, str(f, "/")), -ENOENT);
}

static void
harmless_devices_are_there_without_mappings(struct Fixture *f)
{
	static const char *const names[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
	uint64_t out = put(f, NULL, 256);

	for (size_t i = 0; i < 5; i++)
		assert_true(open_path(f, names[i], O_RDWR) >= 3 || strstr(names[i], "random"));
	assert_int_equal(CALL(f, sys_stat, str(f, "/dev/null"), out), 0);
	assert_int_equal(open_path(f, "/dev/null/", O_RDONLY), -ENOTDIR);
	assert_int_equal(open_path(f, "/dev/mem", O_RDONLY), -ENOENT);
	assert_int_equal(CALL(f, sys_unlink, str(f, "/dev/null")), -EROFS);
	assert_int_equal(CALL(f, sys_chmod, str(f, "/dev/null"), 0), -EROFS);
}

static void
a_mapping_shows_its_directory(struct Fixture *f)
{
	shell(f, "mkdir box/base; echo wrong >box/base/file");
	assert_content(f, "/data/file", "inside");
	assert_content(f, "/data/./../data//file", "inside");
	assert_content(f, "/nothing/../data/file", "inside");
	assert_int_equal(open_path(f, "/file", O_RDONLY), -ENOENT);
	assert_int_equal(open_path(f, "/dat/file", O_RDONLY), -ENOENT);
	assert_int_equal(open_path(f, "/database/file", O_RDONLY), -ENOENT);
}

static void
the_longest_mapping_counts_and_names_are_whole(struct Fixture *f)
{
	shell(f, "echo other >other/file");
	assert_content(f, "/data/file", "inside");
	assert_content(f, "/data/deep/other/file", "other");
	assert_content(f, "/database/file", "other");
	assert_int_equal(open_path(f, "/data/deep/file", O_RDONLY), -ENOENT);
}

/* Links that a program or a user may have made, all of them to the host's `secret` or the directory above the mapping.
 */
static void
make_links(struct Fixture *f)
{
	shell(f, "ln -s $PWD/secret box/absolute; ln -s ../secret box/up; ln -s .. box/parent; ln -s / box/root;"
		 "mkdir box/sub; ln -s ../../secret box/sub/up; ln -s ../up box/sub/chain; ln -s /proc/self/fd box/fds;"
		 "ln -s /proc/self/root box/procroot; ln -s ../../../../../../../etc box/sub/etc; ln -s loop box/loop;"
		 "ln -s sub/../../secret box/sideways");
}

static const char *const leading_out[] = {"/data/absolute", "/data/up", "/data/parent/secret", "/data/sub/up",
    "/data/sub/chain", "/data/sub/etc/passwd", "/data/root/etc/passwd", "/data/procroot/etc/passwd", "/data/fds/0",
    "/data/sideways", "/data/../secret", "/data/sub/../../secret", "../secret", "../../../../etc/passwd", "/data/loop"};

static void
no_path_leads_out_of_a_mapping(struct Fixture *f)
{
	lfiptr out = put(f, NULL, 256);

	make_links(f);
	for (size_t i = 0; i < sizeof leading_out / sizeof leading_out[0]; i++) {
		const char *path = leading_out[i];

		if (open_path(f, path, O_RDONLY) >= 0 || open_path(f, path, O_PATH) >= 0)
			fail_msg("%s can be opened", path);
		if (CALL(f, sys_stat, str(f, path), out) == 0)
			fail_msg("%s can be looked at", path);
		if (CALL(f, sys_access, str(f, path), 0) == 0)
			fail_msg("%s can be tested", path);
		if (CALL(f, sys_chmod, str(f, path), 0777) == 0)
			fail_msg("%s can be changed", path);
		if (CALL(f, sys_truncate, str(f, path), 0) == 0)
			fail_msg("%s can be truncated", path);
		if (CALL(f, sys_utimensat, (uint64_t) AT_FDCWD, str(f, path), 0, 0) == 0)
			fail_msg("%s gets new times", path);
	}
	shell(f, "test \"$(cat secret)\" = secret");
}

static void
a_slash_at_the_end_follows_no_link_out(struct Fixture *f)
{
	lfiptr out = put(f, NULL, 256);

	shell(f, "ln -s $PWD/other box/dir; ln -s $PWD/none box/dangling; mkdir other/kept");
	/* The answer for an existing target outside and for a missing one must be the same. */
	static const char *const names[] = {"/data/dir/", "/data/dangling/"};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(CALL(f, sys_lstat, str(f, names[i]), out), -ENOENT);
		assert_int_equal(CALL(f, sys_readlink, str(f, names[i]), out, 100), -ENOENT);
		assert_int_equal(CALL(f, sys_rmdir, str(f, names[i])), -ENOTDIR);
		assert_int_equal(CALL(f, sys_unlink, str(f, names[i])), -ENOTDIR);
		assert_int_equal(CALL(f, sys_mkdir, str(f, names[i]), 0755), -EEXIST);
		assert_int_equal(CALL(f, sys_rename, str(f, names[i]), str(f, "/data/x")), -ENOTDIR);
		assert_int_equal(CALL(f, sys_link, str(f, names[i]), str(f, "/data/x")), -ENOTDIR);
		assert_int_equal(CALL(f, sys_symlink, str(f, "t"), str(f, names[i])), -ENOENT);
	}
	shell(f, "test -d other/kept && test -L box/dir && test -L box/dangling");
}

static void
calls_that_name_an_entry_change_the_link_and_not_its_target(struct Fixture *f)
{
	char text[32] = {0};
	lfiptr out = put(f, NULL, 256);

	make_links(f);
	assert_int_equal(CALL(f, sys_readlink, str(f, "/data/up"), out, 100), 9);
	get(f, text, out, 9);
	assert_string_equal(text, "../secret");
	assert_int_equal(CALL(f, sys_rename, str(f, "/data/up"), str(f, "/data/up2")), 0);
	assert_int_equal(CALL(f, sys_link, str(f, "/data/up2"), str(f, "/data/up3")), 0);
	assert_int_equal(CALL(f, sys_unlink, str(f, "/data/absolute")), 0);
	assert_int_equal(CALL(f, sys_mkdir, str(f, "/data/parent"), 0755), -EEXIST);
	assert_int_equal(CALL(f, sys_rmdir, str(f, "/data/parent")), -ENOTDIR);
	assert_int_equal(CALL(f, sys_rename, str(f, "/data/file"), str(f, "/data/root")), 0);
	assert_int_equal(CALL(f, sys_mkdir, str(f, "/data/parent2/x"), 0755), -ENOENT);
	/* Below the link "parent", which leads to the mapping itself. */
	assert_int_equal(CALL(f, sys_mkdir, str(f, "/data/parent/made"), 0755), 0);
	shell(f, "test -d box/made && test ! -e made && test -f secret && test -L box/up2 && test -L box/up3 && test "
		 "-f box/root");
}

static void
the_root_of_a_mapping_cannot_be_replaced(struct Fixture *f)
{
	assert_int_equal(CALL(f, sys_rmdir, str(f, "/data")), -EBUSY);
	assert_int_equal(CALL(f, sys_unlink, str(f, "/data")), -EBUSY);
	assert_int_equal(CALL(f, sys_rename, str(f, "/data"), str(f, "/data/x")), -EBUSY);
	assert_int_equal(CALL(f, sys_mkdir, str(f, "/data"), 0755), -EEXIST);
	assert_int_equal(CALL(f, sys_rmdir, str(f, "/data/x/..")), -EBUSY);
}

static void
a_read_only_mapping_is_not_changed(struct Fixture *f)
{
	lfiptr out = put(f, NULL, 256);
	int64_t fd;

	shell(f, "mkdir box/dir; chmod 600 box/file; echo mine >other/mine");
	assert_content(f, "/data/file", "inside");
	assert_int_equal(open_path(f, "/data/file", O_WRONLY), -EROFS);
	assert_int_equal(open_path(f, "/data/file", O_RDWR), -EROFS);
	assert_int_equal(open_path(f, "/data/file", O_RDONLY | O_TRUNC), -EROFS);
	assert_int_equal(open_path(f, "/data/new", O_RDONLY | O_CREAT), -EROFS);
	assert_int_equal(open_path(f, "/data/file", O_RDONLY | O_CREAT | O_EXCL), -EEXIST);
	fd = open_path(f, "/data/file", O_RDONLY | O_CREAT);
	assert_true(fd >= 3);
	assert_int_equal(CALL(f, sys_fchmod, (uint64_t) fd, 0777), -EPERM);
	assert_int_equal(CALL(f, sys_utimensat, (uint64_t) fd, 0, 0, 0), -EPERM);
	assert_true(CALL(f, sys_ftruncate, (uint64_t) fd, 0) < 0);
	assert_true(CALL(f, sys_write, (uint64_t) fd, out, 1) < 0);
	assert_true(CALL(f, sys_mmap, 0, PAGE, 3, 1, (uint64_t) fd, 0) < 0 &&
		    CALL(f, sys_mmap, 0, PAGE, 3, 1, (uint64_t) fd, 0) >= -4095);
	assert_int_equal(CALL(f, sys_unlink, str(f, "/data/file")), -EROFS);
	assert_int_equal(CALL(f, sys_rmdir, str(f, "/data/dir")), -EROFS);
	assert_int_equal(CALL(f, sys_mkdir, str(f, "/data/new"), 0755), -EROFS);
	assert_int_equal(CALL(f, sys_symlink, str(f, "x"), str(f, "/data/new")), -EROFS);
	assert_int_equal(CALL(f, sys_rename, str(f, "/data/file"), str(f, "/rw/file")), -EROFS);
	assert_int_equal(CALL(f, sys_rename, str(f, "/rw/mine"), str(f, "/data/file")), -EROFS);
	assert_int_equal(CALL(f, sys_link, str(f, "/data/file"), str(f, "/rw/file")), -EROFS);
	assert_int_equal(CALL(f, sys_chmod, str(f, "/data/file"), 0777), -EROFS);
	assert_int_equal(CALL(f, sys_truncate, str(f, "/data/file"), 0), -EROFS);
	assert_int_equal(CALL(f, sys_utimensat, (uint64_t) AT_FDCWD, str(f, "/data/file"), 0, 0), -EROFS);
	assert_int_equal(CALL(f, sys_access, str(f, "/data/file"), 2), -EROFS);
	assert_int_equal(CALL(f, sys_access, str(f, "/data/file"), 4), 0);
	shell(f, "test \"$(stat -c %a box/file)\" = 600 && test \"$(cat box/file)\" = inside && test ! -e box/new && "
		 "test -d box/dir");
}

static void
between_two_mappings_nothing_is_renamed_or_linked(struct Fixture *f)
{
	shell(f, "mkdir -p box/deep");
	assert_int_equal(CALL(f, sys_rename, str(f, "/data/file"), str(f, "/database/file")), -EXDEV);
	assert_int_equal(CALL(f, sys_link, str(f, "/data/file"), str(f, "/database/file")), -EXDEV);
	assert_int_equal(CALL(f, sys_rename, str(f, "/data/file"), str(f, "/data/deep/other/file")), -EXDEV);
	assert_int_equal(CALL(f, sys_rename, str(f, "/data/file"), str(f, "/data/deep/file")), 0);
}

static void
dangerous_modes_and_flags_are_dropped_or_refused(struct Fixture *f)
{
	assert_int_equal(open_path(f, "/data", O_TMPFILE | O_RDWR), -EOPNOTSUPP);
	assert_true(CALL(f, sys_open, str(f, "/data/suid"), O_CREAT | O_WRONLY, 06755) >= 3);
	assert_int_equal(CALL(f, sys_mkdir, str(f, "/data/sgid"), 02755), 0);
	assert_int_equal(CALL(f, sys_chmod, str(f, "/data/file"), 06755), 0);
	assert_true(CALL(f, sys_open, str(f, "/data/later"), O_CREAT | O_WRONLY, 0600) >= 3);
	assert_int_equal(CALL(f, sys_fchmod, (uint64_t) open_path(f, "/data/later", O_RDWR), 06755), 0);
	shell(f, "test \"$(stat -c %a box/suid box/file box/sgid box/later | tr '\\n' ' ')\" = '755 755 755 755 '");
	assert_int_equal(open_path(f, "/data/d", O_CREAT | O_DIRECTORY), -EINVAL);
	assert_int_equal(open_path(f, "/data/d/", O_CREAT | O_WRONLY), -EISDIR);
	/* Bits that no one knows. */
	assert_true(open_path(f, "/data/file", O_RDONLY | 0x40000000) >= 3);
}

static void
relative_paths_start_at_the_working_directory_or_the_descriptor(struct Fixture *f)
{
	int64_t dir;
	char text[32] = {0};
	lfiptr out = put(f, NULL, 256);

	shell(f, "mkdir box/dir; echo deeper >box/dir/file");
	assert_content(f, "file", "inside");
	assert_int_equal(CALL(f, sys_chdir, str(f, "dir")), 0);
	assert_content(f, "file", "deeper");
	assert_content(f, "../file", "inside");
	assert_int_equal(CALL(f, sys_getcwd, out, 100), 10);
	get(f, text, out, 10);
	assert_string_equal(text, "/data/dir");
	assert_int_equal(CALL(f, sys_getcwd, out, 5), -ERANGE);
	dir = open_path(f, "/data", O_RDONLY | O_DIRECTORY);
	assert_true(dir >= 3);
	assert_true(CALL(f, sys_openat, (uint64_t) dir, str(f, "dir/file"), O_RDONLY) >= 3);
	assert_int_equal(CALL(f, sys_openat, (uint64_t) dir, str(f, "../secret"), O_RDONLY), -ENOENT);
	assert_int_equal(CALL(f, sys_openat, 77, str(f, "file"), O_RDONLY), -EBADF);
	assert_int_equal(CALL(f, sys_openat, 0, str(f, "file"), O_RDONLY), -ENOTDIR);
	assert_true(CALL(f, sys_openat, 77, str(f, "/data/file"), O_RDONLY) >= 3);
	assert_int_equal(CALL(f, sys_fchdir, (uint64_t) dir), 0);
	assert_content(f, "file", "inside");
	assert_int_equal(CALL(f, sys_chdir, str(f, "file")), -ENOTDIR);
	assert_int_equal(CALL(f, sys_chdir, str(f, "none")), -ENOENT);
}

/* ---- A race ---- */

struct Flipper {
	const char *dir;
	_Atomic bool stop;
};

/* Again and again: box/flip is a directory, then a link to the directory above the mapping. */
static void *
flip(void *arg)
{
	struct Flipper *flipper = arg;
	char path[4][96];
	static const char *const names[4] = {"box/flip", "box/is-dir", "box/is-link", "box/parked"};

	for (int i = 0; i < 4; i++)
		snprintf(path[i], sizeof path[i], "%s/%s", flipper->dir, names[i]);
	while (!atomic_load(&flipper->stop)) {
		/* Atomic exchange, so that there is always something at "flip". */
		renameat2(AT_FDCWD, path[0], AT_FDCWD, path[2], RENAME_EXCHANGE);
		renameat2(AT_FDCWD, path[0], AT_FDCWD, path[2], RENAME_EXCHANGE);
	}
	return NULL;
}

static void
a_link_that_appears_at_the_wrong_moment_leads_nowhere(struct Fixture *f)
{
	struct Flipper flipper = {.dir = f->dir};
	lfiptr out = put(f, NULL, 64), path = put(f, "/data/flip/secret", 18),
	       deep = put(f, "/data/flip/sub/../secret", 25);
	pthread_t thread;
	int opened = 0;
	char text[8];

	shell(f, "mkdir -p box/flip/sub; echo harmless >box/flip/secret; ln -s .. box/is-link; mkdir sub");
	assert_int_equal(pthread_create(&thread, NULL, flip, &flipper), 0);
	for (int i = 0; i < 30000; i++) {
		int64_t fd = CALL(f, sys_open, i % 2 ? path : deep, O_RDONLY);

		if (fd < 0)
			continue;
		opened++;
		assert_true(CALL(f, sys_read, (uint64_t) fd, out, 8) > 0);
		get(f, text, out, 8);
		assert_memory_equal(text, "harmless", 8);
		CALL(f, sys_close, (uint64_t) fd);
		if (CALL(f, sys_unlink, str(f, "/data/flip/nothing")) == 0)
			fail_msg("something was removed");
	}
	atomic_store(&flipper.stop, true);
	pthread_join(thread, NULL);
	assert_true(opened > 0);
	shell(f, "test \"$(cat secret)\" = secret");
}

/* ---- Mappings ---- */

static void
mappings_that_cannot_be_are_refused_with_their_text(void **state)
{
	static const struct {
		const char *map;
		int code;
	} rows[] = {
	    {"", LFI_ERR_INVALID},
	    {"nonsense", LFI_ERR_INVALID},
	    {"=/tmp", LFI_ERR_INVALID},
	    {"relative=/tmp", LFI_ERR_INVALID},
	    {"/x=", LFI_ERR_INVALID},
	    {"/x=/does/not/exist", LFI_ERR_OS},
	    {"/x=/etc/passwd", LFI_ERR_OS},
	};
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const char *maps[] = {"/ok=/tmp", rows[i].map, NULL};

		assert_null(lfi_linux_new(engine, (struct LFILinuxOptions){.dir_maps = maps}));
		assert_int_equal(lfi_errno(), rows[i].code);
		assert_non_null(strstr(lfi_errmsg(), rows[i].map));
	}
	lfi_free(engine);
}

/* Its own engine: the host directory is not in the scratch directory. */
static void
nothing_on_a_proc_file_system_is_opened(void **state)
{
	static const char *const paths[] = {"/p/self/mem", "/p/self/maps", "/p/self", "/p", "/p/self/fd/0",
	    "/p/self/root/etc/passwd", "/p/self/cwd", "/p/self/exe", "/all/proc/self/mem", "/all/proc/version",
	    "/all/dev/fd/0", "/all/proc/self/root/etc/passwd"};
	const char *maps[] = {"/p=/proc", "/all=/", NULL};
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFILinuxEngine *linux_ = lfi_linux_new(engine, (struct LFILinuxOptions){.dir_maps = maps});
	struct Fixture f = {.engine = engine, .linux_ = linux_};

	assert_non_null(linux_);
	f.proc = lfi_proc_new(linux_);
	assert_non_null(f.proc);
	f.thread = thread_make(f.proc);
	f.memory = lfi_box_mapany(f.proc->box, MEMORY_PAGES * PAGE, LFI_PROT_READ | LFI_PROT_WRITE,
	    LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		if (open_path(&f, paths[i], O_RDONLY) >= 0 || open_path(&f, paths[i], O_PATH) >= 0)
			fail_msg("%s can be opened", paths[i]);
	}
	assert_true(open_path(&f, "/all/etc/passwd", O_RDONLY) >= 3);
	lfi_proc_free(f.proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
}

static void
the_root_can_be_mapped(struct Fixture *f)
{
	assert_content(f, "/file", "inside");
	assert_content(f, "../../file", "inside");
	assert_int_equal(open_path(f, "/../secret", O_RDONLY), -ENOENT);
	assert_true(open_path(f, "/", O_RDONLY | O_DIRECTORY) >= 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(paths_are_normalised),
	    cmocka_unit_test(a_normalised_path_never_outgrows_its_buffer),
	    TEST(without_mappings_there_are_no_files, NULL, NULL),
	    TEST(harmless_devices_are_there_without_mappings, NULL, NULL),
	    TEST(a_mapping_shows_its_directory, one_map, NULL),
	    TEST(the_root_can_be_mapped, root_map, NULL),
	    TEST(the_longest_mapping_counts_and_names_are_whole, nested_maps, NULL),
	    TEST(no_path_leads_out_of_a_mapping, one_map, "/data"),
	    TEST(a_slash_at_the_end_follows_no_link_out, one_map, NULL),
	    TEST(calls_that_name_an_entry_change_the_link_and_not_its_target, one_map, NULL),
	    TEST(the_root_of_a_mapping_cannot_be_replaced, one_map, NULL),
	    TEST(a_read_only_mapping_is_not_changed, readonly_map, NULL),
	    TEST(between_two_mappings_nothing_is_renamed_or_linked, nested_maps, NULL),
	    TEST(dangerous_modes_and_flags_are_dropped_or_refused, one_map, NULL),
	    TEST(relative_paths_start_at_the_working_directory_or_the_descriptor, one_map, "/data"),
	    TEST(a_link_that_appears_at_the_wrong_moment_leads_nowhere, one_map, NULL),
	    cmocka_unit_test(mappings_that_cannot_be_are_refused_with_their_text),
	    cmocka_unit_test(nothing_on_a_proc_file_system_is_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
