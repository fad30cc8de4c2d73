/* SPDX-License-Identifier: MIT */
/* Linux's binary interface on x86-64: registers of a system call, struct layouts. Trusted. */
#ifndef LINUX_ABI_H
#define LINUX_ABI_H

#include "lfi_arch.h"
#include <stdint.h>

struct stat;

#define ABI_MACHINE "x86_64"

static inline void
abi_args(const struct LFIRegs *regs, uint64_t args[6])
{
	args[0] = regs->rdi;
	args[1] = regs->rsi;
	args[2] = regs->rdx;
	args[3] = regs->r10;
	args[4] = regs->r8;
	args[5] = regs->r9;
}

static inline uint64_t
abi_number(const struct LFIRegs *regs)
{
	return regs->rax;
}

static inline void
abi_set_result(struct LFIRegs *regs, int64_t result)
{
	regs->rax = (uint64_t) result;
}

/* Where the runtime call returns to: L of the scheme. */
static inline uint64_t
abi_resume(const struct LFIRegs *regs)
{
	return regs->r11;
}

/* clone(flags, stack, parent_tid, child_tid, tls) */
static inline uint64_t
abi_clone_child_tid(const uint64_t *args)
{
	return args[3];
}

static inline uint64_t
abi_clone_tls(const uint64_t *args)
{
	return args[4];
}

struct AbiStat {
	uint64_t st_dev;
	uint64_t st_ino;
	uint64_t st_nlink;
	uint32_t st_mode;
	uint32_t st_uid;
	uint32_t st_gid;
	uint32_t pad;
	uint64_t st_rdev;
	int64_t st_size;
	int64_t st_blksize;
	int64_t st_blocks;
	int64_t st_atime_sec, st_atime_nsec;
	int64_t st_mtime_sec, st_mtime_nsec;
	int64_t st_ctime_sec, st_ctime_nsec;
	int64_t unused[3];
};

void abi_stat(struct AbiStat *out, const struct stat *st);

#endif
