//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* The Linux engine: options, host directories. Trusted: it opens what programs may reach. */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "linux.h"
#include "options.h"

static int
take_wd(struct LFILinuxEngine *engine, const char *wd)
{
	char path[PATH_MAX];

	if (path_normalise("/", wd ? wd : "/", path) < 0)
		return error_set(LFI_ERR_INVALID, "working directory '%.200s' cannot be used", wd);
	engine->wd = strdup(path);
	return engine->wd ? 0 : error_set(LFI_ERR_NOMEM, "no memory for a Linux engine");
}

static int
check_options(const struct LFILinuxOptions *opts)
{
	if (opts->debug)
		return error_set(
		    LFI_ERR_UNSUPPORTED, "the option debug (register programs with the debugger) is not supported yet");
	if (opts->stacksize > (size_t) 1 << 30)
		return error_set(
		    LFI_ERR_INVALID, "a stack of %zu bytes is more than the 1 GiB allowed", opts->stacksize);
	return 0;
}

struct LFILinuxEngine *
lfi_linux_new_sized(struct LFIEngine *core, const struct LFILinuxOptions *opts, size_t size)
{
	struct LFILinuxEngine *engine;

	if (handle_check(core, HANDLE_ENGINE) < 0)
		return NULL;
	engine = calloc(1, sizeof *engine);
	if (!engine) {
		error_set(LFI_ERR_NOMEM, "no memory for a Linux engine");
		return NULL;
	}
	engine->engine = core;
	if (options_take(&engine->opts, sizeof engine->opts, opts, size, "LFILinuxOptions") < 0 ||
	    check_options(&engine->opts) < 0)
		goto free_engine;
	if (engine->opts.stacksize == 0)
		engine->opts.stacksize = LINUX_STACK_DEFAULT;
	engine->opts.verbose |= log_env_verbose();
	if (take_wd(engine, engine->opts.wd) < 0)
		goto free_engine;
	if (mounts_open(&engine->mounts, engine->opts.dir_maps) < 0)
		goto free_wd;
	if (fork_add_engine(engine) < 0)
		goto close_mounts;
	if (handle_add(engine, HANDLE_LINUX) < 0)
		goto remove_engine;
	/* The caller's strings need not outlive this call. */
	engine->opts.wd = NULL;
	engine->opts.dir_maps = NULL;
	lfi_sys_handler(core, dispatch);
	return engine;

remove_engine:
	fork_remove_engine(engine);
close_mounts:
	mounts_close(&engine->mounts);
free_wd:
	free(engine->wd);
free_engine:
	free(engine);
	return NULL;
}

void
lfi_linux_free(struct LFILinuxEngine *engine)
{
	if (!handle_given(engine, HANDLE_LINUX))
		return;
	if (atomic_load(&engine->procs)) {
		error_set(LFI_ERR_BUSY, "%u processes of the Linux engine are not freed", atomic_load(&engine->procs));
		return;
	}
	if (!handle_drop(engine, HANDLE_LINUX))
		return;
	fork_remove_engine(engine);
	/* The host may have freed it: then that is its error. */
	lfi_sys_handler(engine->engine, NULL);
	mounts_close(&engine->mounts);
	free(engine->wd);
	free(engine);
}
