//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * getrlimit(2): getrlimit, setrlimit, prlimit64, of the process itself. Limits are
 * those of the sandbox and cannot be changed: EPERM, but for setting what is. Trusted.
 */
#include <sys/resource.h>

#include "sys.h"

struct Limit {
	uint64_t current;
	uint64_t maximum;
};

static int
limit_of(struct LFILinuxThread *thread, uint64_t resource, struct Limit *limit)
{
	struct LFILimits limits = lfi_box_limits(thread->proc->box);
	uint64_t value = RLIM_INFINITY;

	if (resource >= RLIM_NLIMITS)
		return -EINVAL;
	if (resource == RLIMIT_STACK)
		value = thread->proc->engine->opts.stacksize;
	else if (resource == RLIMIT_NOFILE)
		value = fdtable_limit(&thread->proc->fds);
	else if (resource == RLIMIT_AS || resource == RLIMIT_DATA)
		value =
		    limits.mapped && limits.mapped < thread->proc->info.size ? limits.mapped : thread->proc->info.size;
	else if (resource == RLIMIT_NPROC)
		value = limits.threads && limits.threads < LINUX_THREADS_MAX ? limits.threads : LINUX_THREADS_MAX;
	else if (resource == RLIMIT_CPU && limits.cpu_ns && limits.cpu_ns != UINT64_MAX)
		/* Whole seconds, so that 0 is not no time at all. */
		value = limits.cpu_ns / 1000000000 + (limits.cpu_ns % 1000000000 != 0);
	else if (resource == RLIMIT_CORE)
		value = 0;
	*limit = (struct Limit){value, value};
	return 0;
}

static int64_t
set_limit(struct LFILinuxThread *thread, uint64_t resource, uint64_t address)
{
	struct Limit now, given;

	if (limit_of(thread, resource, &now) < 0)
		return -EINVAL;
	if (copy_in(thread, &given, address, sizeof given) < 0)
		return -EFAULT;
	return given.current == now.current && given.maximum == now.maximum ? 0 : -EPERM;
}

int64_t
sys_getrlimit(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct Limit limit;

	if (limit_of(thread, args[0], &limit) < 0)
		return -EINVAL;
	return copy_out(thread, args[1], &limit, sizeof limit);
}

int64_t
sys_setrlimit(struct LFILinuxThread *thread, const uint64_t *args)
{
	return set_limit(thread, args[0], args[1]);
}

int64_t
sys_prlimit64(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct Limit limit;
	int64_t result = 0;

	if (args[0] && (int) args[0] != thread->proc->pid)
		return -ESRCH;
	if (limit_of(thread, args[1], &limit) < 0)
		return -EINVAL;
	if (args[2])
		result = set_limit(thread, args[1], args[2]);
	return result < 0 ? result : copy_out_if(thread, args[3], &limit, sizeof limit);
}
